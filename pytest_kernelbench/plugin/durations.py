"""The seconds that each task took in the last session, in pytest's cache. xdist's workers get the longest first."""

from __future__ import annotations

import pytest

KEY = "kernelbench/seconds"


def seconds_by_task(config: pytest.Config) -> dict[str, float]:
    """Seconds by the task's file, as in node ids. Empty if no session was recorded, or pytest keeps no cache."""
    cache = getattr(config, "cache", None)
    return cache.get(KEY, {}) if cache else {}


def task_part(nodeid: str) -> str:
    """The part of a node id that names the task: ``tasks/level1/19_ReLU.py``. The whole id of an item without a task.

    Items of one task share their samples, so they are scheduled together.
    """
    return nodeid.partition("::kernel[")[0]


class Durations:
    """Hooks that record the seconds of each task, summed over strategies. For the process that owns the session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.spent: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and hasattr(report, "kernelbench"):
            task = task_part(report.nodeid)
            self.spent[task] = self.spent.get(task, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        if self.spent and (cache := getattr(self.config, "cache", None)):
            rounded = {task: round(seconds, 2) for task, seconds in self.spent.items()}
            cache.set(KEY, {**cache.get(KEY, {}), **rounded})
