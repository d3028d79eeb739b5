"""The time that a task took is known to the next run, whether one worker ran it or several."""

import json
from types import SimpleNamespace

import pytest
from project import Project

from pytest_kernelbench.plugin.durations import KEY, Durations, seconds_by_task


class Cache(dict):
    """pytest's, in memory."""

    set = dict.__setitem__


def test_a_task_took_what_its_items_took_together():
    config = SimpleNamespace(cache=Cache({KEY: {"level1/a.py": 9.0, "level1/b.py": 2.0}}))
    durations = Durations(config)
    for strategy in "xy":
        nodeid = f"level1/a.py::kernel[{strategy}]"
        report = SimpleNamespace(when="call", nodeid=nodeid, duration=1.25, kernelbench="fast 1.2x")
        durations.pytest_runtest_logreport(report)
    durations.pytest_sessionfinish()
    assert seconds_by_task(config) == {"level1/a.py": 2.5, "level1/b.py": 2.0}


def test_without_a_cache_nothing_is_known():
    assert seconds_by_task(SimpleNamespace()) == {}


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "two"])
def test_a_run_keeps_what_its_tasks_took_and_a_resumed_one_does_not(tmp_path, workers):
    project = Project(tmp_path)
    project.judge_by_text()
    own = ("-q", "-p", "cacheprovider", "--no-kernelbench-null", *workers)
    kept = tmp_path / ".pytest_cache" / "v" / KEY
    assert project.run(*own, strategy="random").returncode == 0
    assert json.loads(kept.read_text()).keys() == {"problems/level1/1_Relu.py", "problems/level1/2_Sum.py"}
    kept.unlink()
    assert project.run(*own, strategy="random").returncode == 0
    assert not kept.exists()
