"""The value of the fixture ``kernel_pool``; parameters of tests with ``kernel_task`` and ``kernel_strategy``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pytest

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.pinned.regressions import ItemResult
from pytest_kernelbench.plugin.collection import SESSION, marker_of
from pytest_kernelbench.plugin.session import Session
from pytest_kernelbench.records import Judged, Selection, Task
from pytest_kernelbench.strategy import Strategy

TASKS = pytest.StashKey[dict[str, Task]]()


class KernelPool:
    """The candidates of ``task`` under ``strategy``. They are sampled and judged on first access, once a run."""

    def __init__(self, task: Task, strategy: Strategy, session: Session, item: pytest.Item) -> None:
        self.task = task
        self.strategy = strategy
        self._session = session
        self._item = item
        self._found: ItemResult | None = None

    def __repr__(self) -> str:
        return f"KernelPool({self.task.id}, {self.strategy.name})"

    @cached_property
    def candidates(self) -> Sequence[Judged]:
        """All candidates with their evaluations, in order of index. Raises HarnessError."""
        if self._found is not None:
            return self._found.outcome.group
        return self._session.judge(self.task, self.strategy)

    @property
    def selection(self) -> Selection:
        """The strategy's choice and the second timing of it. Raises HarnessError."""
        return self._result.selection

    @property
    def chosen(self) -> Judged | None:
        """The chosen candidate with its first evaluation; None if no candidate could be chosen."""
        return self._result.outcome.chosen

    def record(self, benchmark: Any) -> None:
        """Use the chosen kernel's times as this test's entry of pytest-benchmark; no entry if nothing was chosen.

        The entry has the test's ``benchmark.group`` and ``benchmark.extra_info``.
        """
        # Mark the fixture as used, so that pytest-benchmark does not warn. The entry goes by the report, as all do.
        disabled, benchmark.disabled = benchmark.disabled, True
        benchmark.pedantic(lambda: None)
        benchmark.disabled = disabled
        if self._result.entry is not None:
            self._item.entry = {  # type: ignore[attr-defined]
                **self._result.entry,
                "name": self._item.name,
                "fullname": self._item.nodeid,
                "group": benchmark.group,
                "extra_info": {**self._result.entry["extra_info"], **benchmark.extra_info},
            }

    @property
    def _result(self) -> ItemResult:
        if self._found is None:
            self._found = self._session.run_item(self.task, self.strategy)
        return self._found


def rows_for(metafunc: pytest.Metafunc, names: Sequence[str]) -> list[Any]:
    """The parameters of a test: one row for each task and strategy. Raises CollectError for an unknown task."""
    session = metafunc.config.stash[SESSION]
    marker = metafunc.definition.get_closest_marker("kernelbench")
    asked = marker.kwargs if marker else {}
    try:
        tasks = session.load(asked["tasks"]) if "tasks" in asked else session.default_tasks
    except UsageError as error:
        raise metafunc.definition.getparent(pytest.Module).CollectError(str(error)) from error  # type: ignore[union-attr]
    wanted = str(asked.get("strategies", "")).replace(" ", "").split(",")
    strategies = [each for each in session.strategies if wanted == [""] or each.name in wanted]
    metafunc.config.stash.setdefault(TASKS, {}).update({task.id: task for task in tasks})
    rows = {}
    for task in tasks:
        for strategy in strategies:
            if session.belongs(task, strategy):
                # Strings, so that a parameter can be printed and saved.
                values = {"kernel_task": task.id, "kernel_strategy": strategy.name}
                row = tuple(values[name] for name in names)
                mark = marker_of(task, strategy.name if "kernel_strategy" in names else None)
                rows[row] = pytest.param(*row, id="-".join(row), marks=mark)
    return list(rows.values())


def task_of(item: pytest.Item) -> Task | None:
    """The task of an item of a user's own test; None for any other item."""
    named = getattr(getattr(item, "callspec", None), "params", {}).get("kernel_task", "")
    return item.config.stash.get(TASKS, {}).get(named)
