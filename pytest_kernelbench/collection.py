"""Task files as pytest nodes: ``tasks/level1/19_ReLU.py::kernel[surprisal-top3]``. No task is ever imported."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from pytest_kernelbench.errors import KernelBenchError, TaskError
from pytest_kernelbench.records import Selection, Task
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.tasks import is_task_file, load_tasks, parse_task

RunItem = Callable[[Task, Strategy], Selection]


class Benchmark:
    """What is to be collected and how an item is run; one a session, under ``BENCHMARK`` in ``config.stash``."""

    def __init__(
        self,
        *,
        strategies: Sequence[Strategy],
        selectors: Sequence[str],
        sizes: Callable[[], str],
        run_item: RunItem,
        only_tasks: bool,
    ) -> None:
        """``selectors`` of no length: every task below the command line's paths. ``only_tasks``: no paths."""
        self.strategies = strategies
        self.selectors = selectors
        self.sizes = sizes
        self.run_item = run_item
        self.only_tasks = only_tasks

    @cached_property
    def tasks(self) -> list[Task]:
        """Those that ``--tasks`` names, none where it was not given beside paths. Raises TaskError."""
        return load_tasks(self.selectors, sizes=self.sizes()) if self.selectors else []

    def sized(self, task: Task) -> Task | None:
        """``task`` as it will run, or None where ``--tasks`` does not name it."""
        if not self.selectors:
            return load_tasks([str(task.path)], sizes=self.sizes())[0]
        return next((named for named in self.tasks if named.path == task.path), None)


BENCHMARK = pytest.StashKey[Benchmark]()


class TaskSet(pytest.Directory):
    """Stands in for the root folder when no path was named: its files are the tasks, wherever they lie."""

    def collect(self) -> Iterator[pytest.File]:
        for task in self.config.stash[BENCHMARK].tasks:
            yield TaskFile.of_task(self, task)


class TaskFile(pytest.Module):
    """One task: a Module, so that Functions may live in it, whose module is empty."""

    task: Task

    @classmethod
    def of_task(cls, parent: pytest.Collector, task: Task) -> TaskFile:
        root = parent.config.rootpath
        path = task.path
        if path is None or not path.is_relative_to(root):
            # Node ids are relative to the root folder; a task from elsewhere gets the place it would have here.
            path = root / "tasks" / f"{task.id}.py"
        self: TaskFile = cls.from_parent(parent, path=path)
        self.obj = types.ModuleType(path.stem)
        self.task = task
        return self

    def collect(self) -> Iterator[pytest.Item]:
        benchmark = self.config.stash.get(BENCHMARK, None)
        if benchmark is None:
            return
        for strategy in benchmark.strategies:
            yield KernelItem.of_strategy(self, strategy)


class KernelItem(pytest.Function):
    """One task under one strategy. It passes unless the harness fails; ``selection`` is what came out."""

    task: Task
    strategy: Strategy
    selection: Selection | None = None

    @classmethod
    def of_strategy(cls, parent: TaskFile, strategy: Strategy) -> KernelItem:
        name = f"kernel[{strategy.name}]"
        self: KernelItem = cls.from_parent(parent, name=name, callobj=kernel)
        if hasattr(self, "_id"):
            # From pytest 9.2 on ids are compared by their parts, and --lf finds only what parses to the same.
            self._id = type(self._id).parse(self.nodeid)
        self.task, self.strategy = parent.task, strategy
        level = parent.task.level.removeprefix("level")
        self.add_marker(
            pytest.mark.kernelbench(
                level=int(level) if level.isdecimal() else level, task=parent.task.id, strategy=strategy.name
            )
        )
        return self

    def run(self) -> None:
        self.selection = self.config.stash[BENCHMARK].run_item(self.task, self.strategy)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.task.id}[{self.strategy.name}]"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], **settings: Any) -> Any:
        if isinstance(excinfo.value, KernelBenchError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, **settings)


def kernel(request: pytest.FixtureRequest) -> None:
    """The body of every item."""
    request.node.run()


def files_at(path: Path, parent: pytest.Collector, others: list[pytest.Collector]) -> list[pytest.Collector]:
    """The collectors of the file ``path``, where pytest and other plugins would take ``others``.

    A task is a TaskFile and nothing else. With ``--strategy``, other files count only where they are named;
    without it, a task that is named collects nothing, which is better than importing it.
    """
    benchmark = parent.config.stash.get(BENCHMARK, None)
    named = parent.session.isinitpath(path)
    if benchmark is None and not named:
        return others
    try:
        task = _task_at(path)
        if task is None:
            return others if named or benchmark is None else []
        task = benchmark.sized(task) if benchmark else task
    except KernelBenchError as error:
        raise parent.CollectError(str(error)) from error
    return [TaskFile.of_task(parent, task)] if task else []


def _task_at(path: Path) -> Task | None:
    if not is_task_file(path):
        return None
    try:
        return parse_task(path)
    except TaskError:
        if path.stem[0].isdigit():
            raise
        return None


def in_order(items: Sequence[pytest.Item], shard: tuple[int, int]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Items to run and to leave to other shards: task by task, so that a task is sampled once for all strategies.

    Raises pytest.UsageError where two files have one task id.
    """
    kernels = [item for item in items if isinstance(item, KernelItem)]
    files: dict[str, Path] = {}
    for item in kernels:
        if files.setdefault(item.task.id, item.path) != item.path:
            other = files[item.task.id]
            raise pytest.UsageError(f"{item.path} and {other} are both {item.task.id}; name one of them")
    kernels.sort(key=lambda item: _natural(item.task.id))
    i, n = shard
    ours = {task for place, task in enumerate(sorted(files, key=_natural)) if place % n == i - 1}
    kept = [item for item in kernels if item.task.id in ours]
    rest = [item for item in items if not isinstance(item, KernelItem)]
    return [*kept, *rest], [item for item in kernels if item.task.id not in ours]


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text)]
