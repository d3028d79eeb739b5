"""Quiet tests run while no other worker runs a test, long files begin first, and one worker has those with trials."""

import json
from pathlib import Path

import pytest
from project import PYTHONPATH
from sharing_cores import LONG, WITH_TRIALS

# Each test notes when it ran.
NOTED = """
import json, os, time
from pathlib import Path

import pytest

{mark}


@pytest.mark.parametrize("number", range(3))
def test_noted(number):
    begun = time.monotonic()
    time.sleep(0.1)
    with Path("noted.jsonl").open("a") as notes:
        notes.write(json.dumps(["{name}", begun, time.monotonic()]) + "\\n")
"""


def test_quiet_tests_run_in_a_row_and_alone(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    marked = {"quiet": "pytestmark = pytest.mark.quiet", "other": ""}
    pytester.makepyfile(**{f"test_{name}": NOTED.format(mark=mark, name=name) for name, mark in marked.items()})
    pytester.makeini("[pytest]\nmarkers = quiet")
    ours = ("-p", "sharing_cores", "-p", "no:kernelbench", "-p", "no:hypothesispytest")
    pytester.runpytest_subprocess(*ours, "-n2", "--dist=loadfile").assert_outcomes(passed=6)
    noted = [json.loads(line) for line in (pytester.path / "noted.jsonl").read_text().splitlines()]
    quiet = [(begun, ended) for name, begun, ended in noted if name == "quiet"]
    first, last = quiet[0][0], quiet[-1][1]
    assert len(quiet) == 3
    assert all(ended <= first or begun >= last for name, begun, ended in noted if name == "other")


# Each file notes its worker. The first waits for the last one, which the other worker is to have run meanwhile.
WORKER = """
import os, time
from pathlib import Path

NOTES = Path("workers.txt")


def test_it():
    deadline = time.monotonic() + 60
    while "{name}" == "a" and "c" not in NOTES.read_text().split():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with NOTES.open("a") as notes:
        notes.write("{name} " + os.environ["PYTEST_XDIST_WORKER"] + "\\n")


def test_more(): ...
"""


def test_one_worker_has_the_files_with_trials_and_helps_when_they_are_done(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    of_trials = ("docs_ci", "lookahead", "replay")
    pytester.makepyfile(**{f"test_{name}": WORKER.format(name=name) for name in ("a", "b", "c", *of_trials)})
    notes = pytester.path / "workers.txt"
    notes.touch()
    ours = ("-p", "sharing_cores", "-p", "no:kernelbench", "-p", "no:hypothesispytest")
    pytester.runpytest_subprocess(*ours, "-n2", "--dist=loadfile").assert_outcomes(passed=12)
    workers = dict(line.split() for line in notes.read_text().splitlines())
    assert len({workers[name] for name in (*of_trials, "c")}) == 1
    assert workers["a"] != workers["c"]


@pytest.mark.parametrize("name", WITH_TRIALS)
def test_every_place_with_trials_is_there(name):
    here = Path(__file__).parent
    assert (here / name).is_dir() if name.endswith("/") else list(here.rglob(name))


def test_every_file_that_begins_first_is_there():
    assert {path.stem for path in Path(__file__).parent.rglob("test_*.py")} >= set(LONG)
