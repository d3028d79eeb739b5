"""The main job on a small project: its output, its files, and the samples that strategies share."""

import copy
import json
import shutil
import subprocess

import pytest
from project import Project


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("project"), figures=True)


@pytest.fixture(scope="module")
def first(project):
    return project.run("-v", strategy="surprisal,best-of-64,random-top3")


@pytest.fixture
def again(first, project, tmp_path):
    """A copy of the project after its first run: what goes on with it changes nothing for other tests."""
    shutil.copytree(project.folder, tmp_path / "copy")
    other = copy.copy(project)
    other.folder, other.figures = tmp_path / "copy", False
    return other


def test_every_task_is_an_item_of_every_strategy(first):
    assert first.returncode == 0, first.stdout
    for item in ("1_Relu.py::kernel[surprisal]", "2_Sum.py::kernel[best-of-64]", "1_Relu.py::kernel[random-top3]"):
        assert item in first.stdout
    assert "6 passed" in first.stdout


def test_verdicts_are_those_of_the_answers(first, project):
    outcomes = {(row["task"], row["index"]): row["outcome"] for row in project.rows("evaluations")}
    assert outcomes == {
        ("level1/1_Relu", 0): "correct",
        ("level1/1_Relu", 1): "correct",
        ("level1/1_Relu", 2): "incorrect",
        ("level1/2_Sum", 0): "correct",
        ("level1/2_Sum", 1): "incorrect",
    }, project.details()


def test_strategies_share_samples_and_evaluations(first, project):
    assert len(project.rows("completions")) == 5
    assert len(project.rows("evaluations")) == 5
    assert len(project.rows("selections")) == 6
    chosen = {(row["task"], row["source_sha256"]) for row in project.rows("confirmations")}
    assert len(project.rows("confirmations")) == len(chosen)


def test_surprisal_chooses_the_least_expected_correct_candidate(first, project):
    chosen = {row["task"]: row["index"] for row in project.rows("selections") if row["strategy"] == "surprisal"}
    assert chosen == {"level1/1_Relu": 1, "level1/2_Sum": 0}, project.details()


def test_the_report_says_what_each_strategy_got(first, project):
    for text in ("2 tasks, policy replay:answers.jsonl", "fast_1", "surprisal", "best-of-64", "random-top3"):
        assert text in first.stdout
    report = json.loads((project.folder / "run" / "report.json").read_text())
    assert len(report["strategies"]) == 3
    assert f"\nopen {project.folder / 'run' / 'report.html'}\n" in first.stdout
    assert (project.folder / "run" / "report.html").exists()
    assert (project.folder / "run" / "figures" / "teaser.png").exists()


def test_a_repeated_run_evaluates_nothing_and_loads_no_torch(again):
    before = {name: len(again.rows(name)) for name in ("completions", "evaluations", "selections")}
    probe = "import sys, pytest; code = pytest.main(sys.argv[1:]); print('torch' in sys.modules); sys.exit(code)"
    command = again.command("-q", strategy="surprisal")
    done = subprocess.run(
        [command[0], "-c", probe, *command[3:]],
        cwd=again.folder,
        env=again.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "False"
    assert {name: len(again.rows(name)) for name in before} == before


def test_another_strategy_on_the_same_samples_evaluates_nothing_again(again):
    done = again.run("-q", strategy="confidence")
    assert done.returncode == 0, done.stdout
    assert len(again.rows("evaluations")) == 5


def test_a_missed_gate_fails_the_run_by_name(again):
    done = again.run("-q", "--kernelbench-fail-under=fast_2:0.5", strategy="surprisal")
    assert done.returncode == 1
    assert "kernelbench: fast_2 of surprisal is 0, under the gate of 0.5 (level1/1_Relu, level1/2_Sum)" in done.stdout


@pytest.mark.parametrize("judged", ["by text", pytest.param("by two judges", marks=pytest.mark.slow)])
def test_two_xdist_workers_leave_the_same_records(first, project, tmp_path, judged):
    """By default a worker has a judge of its own in test_plugin_baselines.py; two of them take 8 s of a core."""
    other = Project(tmp_path)
    if judged == "by text":
        other.judge_by_text()
    done = other.run("-n", "2", "-q", strategy="surprisal,best-of-64")
    assert done.returncode == 0, done.stdout

    def verdicts(each):
        return sorted((row["task"], row["index"], row["outcome"]) for row in each.rows("evaluations"))

    def counts(each):
        report = json.loads((each.folder / "run" / "report.json").read_text())
        rows = report["strategies"]["best-of-64"]["tasks"]
        return [(task, row["drawn"], row["judged"], row["correct"]) for task, row in rows.items()]

    assert verdicts(other) == verdicts(project), f"{other.details()}\n{project.details()}"
    assert counts(other) == counts(project)
    assert "2 tasks" in done.stdout


@pytest.mark.parametrize("plugin", ["xdist", "benchmark"])
def test_it_works_without(plugin, again):
    done = again.run("-q", "-p", f"no:{plugin}", strategy="surprisal")
    assert done.returncode == 0, done.stdout
