"""Which tasks a selector names, and which files are tasks."""

import random
import shutil
import subprocess
import sys

import pytest
from task_files import ODDLY_FORMATTED, TASK, ids, refusal

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.tasks import is_task_file, load_tasks, parse_task
from pytest_kernelbench.tasks.files import toml_of

# Selectors


def test_a_level_holds_its_tasks_in_the_order_of_their_numbers():
    tasks = load_tasks("level1")
    assert [task.short_id for task in tasks] == [f"level1/{number}" for number in range(1, 101)]
    assert ids(tasks)[11] == "level1/12_Matmul_with_diagonal_matrices_"
    assert tasks[0].path == data_folder("tasks") / "level1" / "1_Square_matrix_multiplication_.py"
    assert tasks[0].source == tasks[0].path.read_text()
    assert not tasks[0].sizes


@pytest.mark.parametrize(
    ("selector", "numbers"),
    [
        ("level1:subset1", [4, 5, 12, 14, 15]),
        ("level1:seed42.subset2", [18, 28, 29, 30, 32]),
        ("level1:seed44.eval,level1:seed44.train", list(range(1, 101))),
        ("level1/12", [12]),
        ("level1/12_Matmul_with_diagonal_matrices_", [12]),
        ("level1/*ReLU*", [19, 20]),
        ("level1/20, level1/3,level1/*ReLU*,", [3, 19, 20]),
        (["level1/20", "level1/3,level1/20"], [3, 20]),
    ],
)
def test_selectors_name_tasks_once_and_in_natural_order(selector, numbers):
    assert [task.short_id for task in load_tasks(selector)] == [f"level1/{number}" for number in numbers]


def test_train_and_eval_share_no_task_and_make_up_the_level():
    train, held_out = ids(load_tasks("level1:train")), ids(load_tasks("level1:eval"))
    assert (len(train), len(held_out)) == (80, 20)
    assert sorted(train + held_out) == sorted(ids(load_tasks("level1")))


def test_a_checkout_holds_the_tasks_of_all_its_levels(checkout):
    whole = ["level1/1_A", "level1/2_B", "level1/10_C", "level2/1_Odd name"]
    assert ids(load_tasks(str(checkout))) == whole
    assert ids(load_tasks(str(checkout / "KernelBench"))) == whole
    assert load_tasks(str(checkout))[3].source == ODDLY_FORMATTED


def test_a_level_folder_takes_what_a_packaged_level_takes(checkout):
    level = checkout / "KernelBench" / "level1"
    assert ids(load_tasks(str(level))) == ["level1/1_A", "level1/2_B", "level1/10_C"]
    assert ids(load_tasks(f"{level}/10")) == ["level1/10_C"]
    assert ids(load_tasks(f"{level}/*_[AB]")) == ["level1/1_A", "level1/2_B"]
    assert refusal(f"{level}:subset1") == (f"tasks={level}:subset1: the split has task 4, which {level} lacks")


def test_the_splits_apply_to_another_text_of_the_level(tmp_path):
    folder = tmp_path / "level1"
    folder.mkdir()
    for number in (4, 5, 12, 14, 15, 16):
        (folder / f"{number}_X.py").write_text(TASK)
    assert ids(load_tasks(f"{folder}:subset1")) == [f"level1/{number}_X" for number in (4, 5, 12, 14, 15)]


def test_a_file_is_a_task_and_its_folder_the_level(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "fused.py").write_text(TASK)
    monkeypatch.chdir(tmp_path / "mine")
    (task,) = load_tasks("./fused.py")
    assert (task.id, task.short_id, task.path) == ("mine/fused", "mine/fused", tmp_path / "mine" / "fused.py")


def test_a_packaged_level_comes_before_a_folder_of_its_name(checkout, monkeypatch):
    monkeypatch.chdir(checkout / "KernelBench")
    assert len(load_tasks("level1")) == 100
    assert len(load_tasks("./level1")) == 3
    assert ids(load_tasks("level2")) == ["level2/1_Odd name"]


def test_two_tasks_with_one_id_are_refused(tmp_path):
    for parent in ("a", "b"):
        (tmp_path / parent / "level9").mkdir(parents=True)
        (tmp_path / parent / "level9" / "1_X.py").write_text(TASK)
    one, other = (tmp_path / parent / "level9" / "1_X.py" for parent in ("a", "b"))
    assert refusal(f"{one},{one.parent}/../level9,{other}") == (
        f"tasks={other}: level9/1_X is both {one} and {other}; name one of them"
    )


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("", "tasks: no task named; give level1, level1:eval, level1/12, a path or hf"),
        (
            "level1:subset3",
            "tasks=level1:subset3: no such split; there are train, eval, subset1, subset2",
        ),
        ("level1:seed43.subset1", "tasks=level1:seed43.subset1: no such split; there are train, eval"),
        ("level1:seed7.eval", "tasks=level1:seed7.eval: no such seed; there are seed42, seed43, seed44"),
        ("level1/101", "tasks=level1/101: no such task; level1 has 1 to 100"),
        (
            "level1/12_Matmul_diag",
            "tasks=level1/12_Matmul_diag: no such task; did you mean level1/12_Matmul_with_diagonal_matrices_?",
        ),
        (
            "level1/*Zebra*",
            "tasks=level1/*Zebra*: no such task; level1 has 100, the first is level1/1_Square_matrix_multiplication_",
        ),
        ("levle1", "tasks=levle1: no such level, file or folder; did you mean level1?"),
        ("level2:eval", "tasks=level2:eval: no such level, file or folder; packaged: level1"),
        ("no/such/path", "tasks=no/such/path: no such level, file or folder; packaged: level1"),
        ("/12", "tasks=/12: no such level, file or folder; packaged: level1"),
    ],
)
def test_a_selector_that_names_nothing_says_what_there_is(selector, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(selector) == message


def test_a_folder_without_tasks_is_refused(tmp_path):
    assert refusal(str(tmp_path)) == (
        f"tasks={tmp_path}: holds no KernelBench task; give a level folder or a KernelBench checkout"
    )


def test_a_level_without_splits_is_refused(checkout, tmp_path):
    level = tmp_path / "level7"
    shutil.copytree(f"{checkout}/KernelBench/level2", level)
    assert refusal(f"{level}:eval") == (
        f"tasks={level}:eval: level7 has no splits; give level7, or tasks of it such as level7/1"
    )


def test_the_split_of_level_2_is_drawn_as_that_of_level_1():
    files = [data_folder("tasks") / f"splits/{level}_seed42.toml" for level in ("l1", "l2")]
    splits = [toml_of(file) for file in files]
    ids = list(range(1, 101))
    random.Random(42).shuffle(ids)
    for split in splits:
        assert (split["train"], split["eval"]) == (sorted(ids[:80]), sorted(ids[80:]))


# Task files


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            TASK.replace("class Model", "class Net"),
            ": no class Model; a KernelBench task defines Model, get_inputs and get_init_inputs",
        ),
        (
            "class Model: ...\ndef main():\n    def get_inputs(): ...",
            ": no function get_inputs, no function get_init_inputs; "
            "a KernelBench task defines Model, get_inputs and get_init_inputs",
        ),
        (
            "N = 1\ndef f(:\n    pass\n",
            ":2: does not parse (invalid syntax); correct it or leave it out",
        ),
    ],
)
def test_a_file_that_is_no_task_is_refused_in_one_line(source, message, tmp_path):
    path = tmp_path / "1_X.py"
    path.write_text(source)
    with pytest.raises(TaskError) as caught:
        parse_task(path)
    assert str(caught.value) == f"{path}{message}"


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "1_X.py"
    path.write_bytes(b"# \xff")
    with pytest.raises(TaskError) as caught:
        parse_task(path)
    assert str(caught.value) == (
        f"{path}: cannot be read ('utf-8' codec can't decode byte 0xff in position 2: invalid start byte); "
        "give a KernelBench task in UTF-8"
    )


def test_definitions_may_be_assigned_and_strings_may_hold_odd_escapes(tmp_path):
    path = tmp_path / "1_X.py"
    path.write_text("\ufeff" + ODDLY_FORMATTED, encoding="utf-8")
    assert parse_task(path).source == ODDLY_FORMATTED


def test_a_broken_numbered_file_of_a_level_is_shown_not_passed_over(checkout):
    broken = checkout / "KernelBench" / "level1" / "3_D.py"
    broken.write_text("class Model: ...")
    assert refusal(str(checkout)).startswith(f"{broken}: no function get_inputs")


def test_a_task_file_is_told_from_other_files(checkout):
    level = checkout / "KernelBench" / "level1"
    (level / "notes.txt").write_text(TASK)
    assert is_task_file(level / "1_A.py")
    assert not is_task_file(level / "__init__.py")
    assert not is_task_file(level / "notes.txt")
    assert not is_task_file(level / "absent.py")
    assert not is_task_file(level)


def test_tasks_are_parsed_without_running_them_and_without_torch(tmp_path):
    (tmp_path / "1_X.py").write_text(f"raise SystemExit('ran')\n{TASK}")
    script = (
        "import sys; from pytest_kernelbench.tasks import load_tasks; "
        f"load_tasks(['level1', {str(tmp_path)!r}], sizes='full'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("False\n", 0), done.stderr


@pytest.mark.parametrize("selectors", [3, None, [3], {"level1/12": 1}])
def test_what_is_no_selector_is_refused_in_one_line(selectors):
    said = f"tasks: {selectors!r} is no text and no list of texts; give level1/12, or a list"
    assert refusal(selectors) == said


def test_a_path_is_a_selector(tmp_path):
    (tmp_path / "1_Mine.py").write_text(TASK)
    assert ids(load_tasks(tmp_path)) == ids(load_tasks([tmp_path])) == [f"{tmp_path.name}/1_Mine"]
