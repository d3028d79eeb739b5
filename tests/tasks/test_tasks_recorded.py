"""The selectors of a run that was called from another folder, or moved, or resumed with others."""

import pytest
from task_files import TASK

from pytest_kernelbench.tasks import load_tasks
from pytest_kernelbench.tasks.recorded import called_from, joined_selectors, recorded_selectors

PACKAGED = ["level1", "level1:eval", "level1:seed43.eval", "level1/12", "level1/*ReLU*", "hf", "hf:level2"]


@pytest.fixture
def project(tmp_path):
    problems = tmp_path / "project" / "problems" / "level9"
    problems.mkdir(parents=True)
    for name in ("1_One", "2_Two"):
        (problems / f"{name}.py").write_text(TASK)
    return tmp_path / "project"


@pytest.mark.parametrize(
    "selector", ["problems", "problems/level9", "./problems/level9/2*", "problems/level9/1_One.py", "problems/level9/1"]
)
def test_paths_are_seen_from_the_folder_in_which_the_session_was_called(project, monkeypatch, selector):
    run = project / ".kernelbench" / "runs" / "one"
    facts = {"selectors": [selector], "called_from": called_from(project, run)}
    monkeypatch.chdir(project)
    found = [task.path for task in load_tasks(selector)]
    monkeypatch.chdir("/")
    assert [task.path for task in load_tasks(recorded_selectors(facts, run))] == found
    moved = project.rename(project.parent / "moved")
    there = [moved / path.relative_to(project) for path in found]
    assert [task.path for task in load_tasks(recorded_selectors(facts, moved / run.relative_to(project)))] == there


def test_a_run_in_another_place_names_the_folder_absolutely(tmp_path):
    assert called_from(tmp_path / "project", tmp_path / "runs" / "one") == str(tmp_path / "project")
    assert called_from(tmp_path / "project", tmp_path / "project" / "runs" / "one") == "../.."


@pytest.mark.parametrize("selector", [*PACKAGED, "/elsewhere/level1"])
def test_what_is_no_path_of_that_folder_stays_as_it_is(project, selector):
    facts = {"selectors": [selector], "called_from": str(project)}
    assert recorded_selectors(facts, project / "run") == [selector]


def test_selectors_in_one_text_are_seen_one_by_one(project):
    facts = {"selectors": ["level1/12, problems"], "called_from": ".."}
    assert recorded_selectors(facts, project / "run") == ["level1/12", str(project / "problems")]


@pytest.mark.parametrize("facts", [{}, {"called_from": None}, {"called_from": "/not/on/this/machine"}])
def test_without_that_folder_they_are_seen_from_here(tmp_path, facts):
    assert recorded_selectors({"selectors": ["problems"], **facts}, tmp_path) == ["problems"]


def test_the_selectors_of_a_session_that_joins_are_added_as_seen_from_the_first(project):
    run = project / "run"
    run.mkdir()
    first = {"selectors": ["problems/level9/1"], "called_from": "..", "tasks": ["level9/1_One"]}
    second = {"selectors": ["level9/2"], "called_from": "../problems", "tasks": ["level9/2_Two"]}
    joined = joined_selectors(run, first, second)
    assert joined == ["problems/level9/1", str(project / "problems" / "level9" / "2")]
    assert joined_selectors(run, first, {**first, "selectors": ["problems/level9/2"]}) == [
        *("problems/level9/1", "problems/level9/2")
    ]
    again = {**first, "selectors": ["level9/1"], "called_from": "../problems"}
    assert joined_selectors(run, first, again) == ["problems/level9/1"]
    packaged = {"selectors": [], "called_from": "..", "tasks": ["level1/19_ReLU"]}
    assert joined_selectors(run, packaged, first) == ["level1/19_ReLU", "problems/level9/1"]
    assert joined_selectors(run, packaged, packaged) == []
