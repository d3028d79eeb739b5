"""``python -m pytest_kernelbench tasks``: problems of a task that a run would meet are found before the run."""

import pytest
from project import RELU

from pytest_kernelbench.__main__ import main

CONSTANT = RELU.replace("torch.relu(x)", "torch.relu(-torch.relu(x))")
RANDOM = RELU.replace("torch.relu(x)", "torch.nn.functional.dropout(x)")
BROKEN = RELU.replace("torch.relu(x)", "x @ x.missing")


@pytest.fixture
def level(tmp_path):
    folder = tmp_path / "level5"
    folder.mkdir()
    for name, source in {"1_Fine": RELU, "2_Constant": CONSTANT, "3_Random": RANDOM, "4_Broken": BROKEN}.items():
        (folder / f"{name}.py").write_text(source.replace("200_000", "2_000"))
    return folder


def test_tasks_are_listed_without_being_run(level, capsys):
    assert main(["tasks", str(level)]) == 0
    names = ["1_Fine", "2_Constant", "3_Random", "4_Broken"]
    assert capsys.readouterr().out.split() == [f"level5/{name}" for name in names]


@pytest.mark.parametrize("option", ["--device=cuda", "--precision=float32", "--sizes=auto", "--small=sizes.toml"])
def test_an_option_of_the_check_is_refused_where_nothing_is_checked(level, option, capsys):
    assert main(["tasks", option, str(level)]) == 4
    name = option.partition("=")[0]
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"error: {option}: does nothing without --check; add it, or leave out {name}\n")


def test_each_task_is_looked_at_and_what_is_amiss_is_told(level, capsys):
    assert main(["tasks", "--check", "--device=cpu", "--sizes=full", str(level)]) == 4
    told = capsys.readouterr()
    fine, constant, drawn, broken = told.out.splitlines()
    assert fine.startswith("ok  level5/1 ")
    assert fine.endswith(" ms for the first call, 0.016 MB")
    assert constant.startswith("--  level5/2 ")
    assert constant.endswith("; its answer does not depend on its inputs: candidates are judged, none counts as fast")
    assert drawn.endswith("; it draws at random: both sides are seeded alike, none counts as fast")
    assert broken == (
        "NO  level5/4     the reference does not run on cpu (AttributeError: 'Tensor' object has no attribute "
        "'missing'); check the task file and its sizes"
    )
    assert told.err == "error: 1 of 4 tasks cannot be judged; the lines that begin with NO say why\n"


def test_on_a_cpu_the_small_sizes_of_a_run_are_looked_at(level, capsys):
    path = str(level / "1_Fine.py")
    assert main(["tasks", "--check", "--device=cpu", path]) == 4
    assert capsys.readouterr().err == (
        "error: --sizes=small: no small size for level5/1_Fine; "
        f"add [1_Fine] to {level / 'small.toml'} or use --sizes=full\n"
    )
    (level / "small.toml").write_text("[1_Fine]\nn = 1_000\n")
    assert main(["tasks", "--check", "--device=cpu", path]) == 0
    assert capsys.readouterr().out.endswith("0.008 MB\n")


def test_small_sizes_of_the_user_s_own_are_looked_at(level, tmp_path, capsys):
    sizes = tmp_path / "sizes.toml"
    sizes.write_text("[1_Fine]\nn = 500\n")
    path = str(level / "1_Fine.py")
    assert main(["tasks", "--check", "--device=cpu", "--sizes=small", f"--small={sizes}", path]) == 0
    assert capsys.readouterr().out.endswith("0.004 MB\n")
