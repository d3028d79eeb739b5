"""``run.json`` says where the tasks of a run were found, so that commands on the run find them again."""

import json

import pytest
from project import RELU, answer, made_up_evaluator

from pytest_kernelbench.commands.present_tasks import AS_RECORDED, present_tasks
from pytest_kernelbench.plugin.facts import own_files
from pytest_kernelbench.tasks import load_tasks

MADE_UP = made_up_evaluator("""
def evaluate(self, task, sources):
    for source in sources:
        yield Evaluation(source_sha256=sha256_of(source), outcome=Outcome.CORRECT, speedup=1.0)
""")


def test_files_of_tasks_that_are_not_packaged_are_named_once_as_seen_from_where_pytest_was_called(tmp_path):
    level = tmp_path / "here" / "level9"
    level.mkdir(parents=True)
    (level / "1_Mine.py").write_text(RELU)
    (mine,) = load_tasks(str(level))
    (packaged,) = load_tasks("level1/19")
    assert own_files([packaged], tmp_path) == []
    assert own_files([mine, packaged, mine], tmp_path / "here") == ["level9/1_Mine.py"]
    assert own_files([mine], tmp_path / "elsewhere") == [str(level / "1_Mine.py")]


@pytest.mark.parametrize(
    ("named", "selectors"),
    [
        ("problems", [f"problems/level1/{name}.py" for name in ("1_One", "2_Two", "10_Ten")]),
        ("--tasks=problems/level1/2*", ["problems/level1/2*"]),
    ],
)
def test_tasks_that_a_run_was_asked_for_are_found_again(benchmark_project, monkeypatch, named, selectors):
    benchmark_project.pytester.makepyfile(made_up=MADE_UP)
    rows = [{"task": f"level1/{number}", "text": answer("x")} for number in (1, 2, 10)]
    benchmark_project.path.joinpath("answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    fixed = ("-p", "made_up", "--strategy=random", "--policy=replay:answers.jsonl", "--no-kernelbench-null")
    assert benchmark_project.run(*fixed, "--kernelbench-run=run", named, apart=True).ret == 0
    run = json.loads((benchmark_project.path / "run" / "run.json").read_text())
    assert run["selectors"] == selectors
    monkeypatch.chdir("/")
    assert list(present_tasks(benchmark_project.path / "run", run, run["tasks"], AS_RECORDED)) == run["tasks"]
