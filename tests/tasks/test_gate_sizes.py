"""Further sizes of a task, from the user's file or the one beside the task."""

import pytest

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.tasks import load_tasks, with_sizes
from pytest_kernelbench.tasks.gate_sizes import gate_sizes, without_task

TASK = """
import torch

rows, columns = 4, 8
scale = 2.0

class Model(torch.nn.Module):
    def forward(self, x):
        return x * scale

def get_inputs():
    return [torch.rand(rows, columns)]

def get_init_inputs():
    return []
"""


@pytest.fixture
def task(tmp_path):
    file = tmp_path / "ours" / "1_Scale.py"
    file.parent.mkdir()
    file.write_text(TASK)
    (task,) = load_tasks(str(file))
    return task


def beside(task, text):
    (task.path.parent / "sizes.toml").write_text(text)


def test_a_task_without_tables_has_its_own_size(task):
    assert [(each.name, each.task) for each in gate_sizes(task)] == [("", task)]


def test_each_table_is_a_size_after_the_task_s_own(task):
    beside(task, "[[1_Scale]]\nrows = 3\n\n[[1_Scale]]\nrows = 5\ncolumns = 7\n")
    own, first, second = gate_sizes(task)
    assert (own.name, first.name, second.name) == ("", "rows=3", "rows=5, columns=7")
    assert first.task.sizes == {"rows": 3} and second.task.sizes == {"rows": 5, "columns": 7}
    assert "rows = 5" in with_sizes(second.task.source, second.task.sizes)
    assert len({each.task.sha256 for each in (own, first, second)}) == 3


def test_a_table_alone_is_one_size_and_arrays_are_tuples(task):
    beside(task, "[1_Scale]\nscale = [1, 2]\n")
    assert gate_sizes(task)[1].task.sizes == {"scale": (1, 2)}


def test_the_user_s_file_goes_before_the_one_beside_the_task_where_it_has_the_task(task, tmp_path):
    beside(task, "[[1_Scale]]\nrows = 3\n")
    named = tmp_path / "mine.toml"
    named.write_text('[["ours/1_Scale"]]\nrows = 9\n')
    assert [each.name for each in gate_sizes(task, named)] == ["", "rows=9"]
    named.write_text("[[2_Other]]\nrows = 9\n")
    assert [each.name for each in gate_sizes(task, named)] == ["", "rows=3"]
    assert without_task(named, [task]) == ["2_Other"]


def test_what_a_table_does_not_name_is_as_in_the_run(task):
    from dataclasses import replace

    beside(task, "[[1_Scale]]\nrows = 3\n\n[[1_Scale]]\ncolumns = 16\n")
    small = replace(task, sizes={"rows": 2, "columns": 16})
    assert [each.task.sizes for each in gate_sizes(small)] == [
        {"rows": 2, "columns": 16},
        {"rows": 3, "columns": 16},
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[[1_Scale]]\nrow = 3\n", '[[1_Scale]]: cannot size "row": the task assigns no such module-level constant; '),
        (
            '[[1_Scale]]\nscale = "x"\n',
            '[[1_Scale]]: cannot size "scale": it is a number in the task, and "x" is a text; write a number',
        ),
        ("1_Scale = 3\n", "1_Scale is no list of tables; write [[1_Scale]] and its constants below, for each size"),
        ("[[1_Scale]]\n", "1_Scale is no list of tables; write [[1_Scale]] and its constants below, for each size"),
        ("[[1_Scale\n", "is not TOML ("),
    ],
)
def test_a_file_that_does_not_fit_says_where_and_what(task, text, line):
    beside(task, text)
    with pytest.raises(TaskError) as error:
        gate_sizes(task)
    assert str(error.value).startswith(f"{task.path.parent / 'sizes.toml'}")
    assert line in str(error.value)


@pytest.mark.parametrize("name", ["none.toml", "x" * 300])
def test_a_file_that_is_not_there_is_said(task, tmp_path, name):
    with pytest.raises(TaskError, match=rf"--kernelbench-gate-sizes=.*{name}: no such file; give a TOML file with"):
        gate_sizes(task, tmp_path / name)
