"""Quiet tests run while no other worker runs a test, and long files begin first."""

import json
from pathlib import Path

from project import PYTHONPATH
from sharing_cores import LONG

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


def test_every_file_that_begins_first_is_there():
    assert {path.stem for path in Path(__file__).parent.rglob("test_*.py")} >= set(LONG)
