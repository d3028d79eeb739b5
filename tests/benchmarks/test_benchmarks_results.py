"""Rows of a benchmark outlive its process and are not mixed with rows of other hardware; time limits hold."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from results import Limit, Results


def test_rows_of_an_earlier_run_are_there_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    Results(path, hardware="H200").add([{"task": "level1/1"}])
    again = Results(path, hardware="H200")
    again.add([{"task": "level1/2"}])
    assert [row["task"] for row in again.rows] == ["level1/1", "level1/2"]
    assert Results(path, hardware="H200").rows == again.rows


def test_rows_of_other_hardware_are_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    Results(path, hardware="H200").add([{"task": "level1/1"}])
    with pytest.raises(ValueError, match=r"rows\.jsonl: holds rows of H200, this is H100; name another file$"):
        Results(path, hardware="H100")


def test_without_seconds_there_is_no_limit():
    assert not Limit(None).over
    assert not Limit(1000.0).over
    assert Limit(0.0).over
