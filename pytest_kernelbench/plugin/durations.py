"""What each task took the last time, in pytest's cache: who divides tasks among workers begins with the longest."""

from __future__ import annotations

import pytest

KEY = "kernelbench/seconds"


def seconds_by_task(config: pytest.Config) -> dict[str, float]:
    """By the file of the task; empty where nothing ran yet, or pytest keeps no cache."""
    cache = getattr(config, "cache", None)
    return cache.get(KEY, {}) if cache else {}


def task_part(nodeid: str) -> str:
    """``tasks/level1/19_ReLU.py`` of that task's items, which share their samples; any other item is its own."""
    return nodeid.partition("::kernel[")[0]


class Durations:
    """Hooks that keep what the tasks of a session took, all strategies together; for the process that owns it."""

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
