"""The tasks of strategies that evaluate kernel files, and a warning about kernel files that no item evaluates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from pytest_kernelbench.errors import TaskError, UsageError
from pytest_kernelbench.pinned.regressions import Baselines
from pytest_kernelbench.plugin.options import DEFAULT_TASKS
from pytest_kernelbench.plugin.run_options import RunOptions
from pytest_kernelbench.policies.pinned import folder_of
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.tasks import load_tasks

TASKS_SHOWN = 5


class KeptKernels:
    """The kernel files of a session's strategies. A strategy without such a folder evaluates every task."""

    def __init__(self, options: RunOptions, here: Path, baselines: Baselines) -> None:
        """``here`` is the folder that the folders of kernels are in. A gate expects the tasks in ``baselines``."""
        self._options = options
        self._here = here
        self._baselines = baselines

    @cached_property
    def tasks(self) -> dict[str, list[str]]:
        """By strategy: the tasks that have a kernel file, and the tasks that a gate expects."""
        return {
            name: list(dict.fromkeys([*pins, *self._baselines.tasks(name)]))
            for name, pins in self._options.pins.items()
        }

    def belongs(self, task: Task, strategy: Strategy) -> bool:
        """Whether ``task`` is an item of ``strategy``."""
        return task.id in self.tasks.get(strategy.name, (task.id,))

    @property
    def is_all(self) -> bool:
        """Whether each strategy of the run evaluates kernels that are kept."""
        return len(self._options.pins) == len(self._options.strategies)

    def selectors(self) -> list[str]:
        """Of the tasks, where ``--tasks`` names none. Raises UsageError for no kernel, and for one without a task."""
        kept = list(dict.fromkeys(task for tasks in self.tasks.values() for task in tasks))
        if self.is_all and not kept:
            raise UsageError(f"--strategy={self._options.strategies[0].name}: {self._none}")
        return [*([] if self.is_all else [DEFAULT_TASKS]), *map(_packaged, kept)]

    def left_out(self, tasks: Sequence[Task]) -> str | None:
        """One line about kernels of other tasks than ``--tasks`` names. Raises UsageError where nothing is left."""
        named = {task.id for task in tasks}
        kept = list(dict.fromkeys(task for pins in self._options.pins.values() for task in pins))
        if self.is_all and not any(named.intersection(tasks) for tasks in self.tasks.values()):
            asked = f"--tasks={','.join(self._options.tasks)}"
            but = f"no kernel is kept for these, but for {_shown(kept)}; name its task"
            raise UsageError(f"{asked}: {but if kept else self._none}")
        others = [task for task in kept if task not in named]
        return f"--tasks leaves out the kernels of {_shown(others)}" if others else None

    @property
    def _none(self) -> str:
        folder = folder_of(self._options.strategies[0].sampling.policy or self._options.policy)
        assert folder is not None
        return (
            f"no kernel is in {self._here / folder}; write one, as in {folder}/level1/19_ReLU.py "
            "with a class ModelNew, or keep what a run chose: python -m pytest_kernelbench pin RUN"
        )


def _packaged(task: str) -> str:
    try:
        (found,) = load_tasks(task)
    except TaskError as error:
        raise UsageError(
            f"{task}: has a kernel, and no packaged task is called so; name the task's file with --tasks"
        ) from error
    if found.id != task:
        raise UsageError(f"{task}: has a kernel, and the task is called {found.id}; rename the kernel's file")
    return task


def _shown(tasks: Sequence[str]) -> str:
    more = len(tasks) - TASKS_SHOWN
    return ", ".join(tasks[:TASKS_SHOWN]) + (f" and {more} more" if more > 0 else "")
