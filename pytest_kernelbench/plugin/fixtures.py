"""``kernel_task``, ``kernel_strategy`` and ``kernel_pool``: a task's judged candidates, in a test of one's own.

    def test_mine(kernel_task, kernel_strategy, kernel_pool, benchmark):
        assert kernel_pool.selection.confirmed_low > 1.1
        kernel_pool.record(benchmark)

runs once for each task and strategy of the command line. ``@pytest.mark.kernelbench(tasks="level1/19",
strategies="pinned")`` names tasks, or which of the strategies, for one test.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pytest

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.pinned.regressions import ItemResult
from pytest_kernelbench.plugin.collection import BENCHMARK, Benchmark, marker_of
from pytest_kernelbench.records import Judged, Selection, Task
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.tasks import load_tasks

TASKS = pytest.StashKey[dict[str, Task]]()
NEEDS_STRATEGY = "needs a strategy, as in pytest --strategy=pinned"


class KernelPool:
    """The candidates of ``task`` under ``strategy``. They are drawn and judged when first looked at, once a run."""

    def __init__(self, task: Task, strategy: Strategy, benchmark: Benchmark, item: pytest.Item) -> None:
        self.task = task
        self.strategy = strategy
        self._benchmark = benchmark
        self._item = item

    def __repr__(self) -> str:
        return f"KernelPool({self.task.id}, {self.strategy.name})"

    @cached_property
    def candidates(self) -> Sequence[Judged]:
        """Each with its evaluation, in order of index. Raises HarnessError."""
        return self._benchmark.judge(self.task, self.strategy)

    @property
    def selection(self) -> Selection:
        """What the strategy chose and what it came to when timed again. Raises HarnessError."""
        return self._result.selection

    @property
    def chosen(self) -> Judged | None:
        """The candidate that was chosen, with its first evaluation; None where none could be."""
        return next((each for each in self.candidates if each.candidate.index == self.selection.index), None)

    def record(self, benchmark: Any) -> None:
        """Make the times of the chosen kernel this test's entry of pytest-benchmark; there is none without a choice.

        With it goes what the test put into ``benchmark.group`` and ``benchmark.extra_info``.
        """
        # For pytest-benchmark the fixture has been used; the entry takes the way of all others.
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

    @cached_property
    def _result(self) -> ItemResult:
        return self._benchmark.run_item(self.task, self.strategy)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    benchmark = metafunc.config.stash.get(BENCHMARK, None)
    names = [name for name in ("kernel_task", "kernel_strategy") if name in metafunc.fixturenames]
    if benchmark is None or not names:
        return
    marker = metafunc.definition.get_closest_marker("kernelbench")
    asked = marker.kwargs if marker else {}
    try:
        if "tasks" in asked:
            tasks = load_tasks(asked["tasks"], sizes=benchmark.sizes(), small=benchmark.small)
        else:
            tasks = benchmark.default_tasks()
    except UsageError as error:
        raise metafunc.definition.getparent(pytest.Module).CollectError(str(error)) from error  # type: ignore[union-attr]
    wanted = str(asked.get("strategies", "")).replace(" ", "").split(",")
    strategies = [each for each in benchmark.strategies if wanted == [""] or each.name in wanted]
    metafunc.config.stash.setdefault(TASKS, {}).update({task.id: task for task in tasks})
    rows = {}
    for task in tasks:
        for strategy in strategies:
            if benchmark.belongs(task, strategy):
                # Strings, so that a parameter can be printed and saved.
                values = {"kernel_task": task.id, "kernel_strategy": strategy.name}
                row = tuple(values[name] for name in names)
                mark = marker_of(task, strategy if "kernel_strategy" in names else None)
                rows[row] = pytest.param(*row, id="-".join(row), marks=mark)
    metafunc.parametrize(names, list(rows.values()), indirect=True)


def task_of(item: pytest.Item) -> Task | None:
    """What an item of a user's own test is about; None for any other."""
    named = getattr(getattr(item, "callspec", None), "params", {}).get("kernel_task", "")
    return item.config.stash.get(TASKS, {}).get(named)


@pytest.fixture
def kernel_task(request: pytest.FixtureRequest) -> Task:
    """One of the tasks that were named."""
    name = _param(request)
    return request.config.stash[TASKS][name]


@pytest.fixture
def kernel_strategy(request: pytest.FixtureRequest) -> Strategy:
    """One of the strategies that were named."""
    name = _param(request)
    return next(each for each in request.config.stash[BENCHMARK].strategies if each.name == name)


@pytest.fixture
def kernel_pool(kernel_task: Task, kernel_strategy: Strategy, request: pytest.FixtureRequest) -> KernelPool:
    """The candidates of the task under the strategy."""
    return KernelPool(kernel_task, kernel_strategy, request.config.stash[BENCHMARK], request.node)


def _param(request: pytest.FixtureRequest) -> str:
    if not hasattr(request, "param"):
        pytest.skip(NEEDS_STRATEGY)
    return str(request.param)
