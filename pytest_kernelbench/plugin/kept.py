"""The tasks of strategies that evaluate kernel files, and a warning about kernel files that no item evaluates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pytest_kernelbench.errors import TaskError, UsageError
from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.pinned.regressions import Baselines, id_of
from pytest_kernelbench.plugin.options import DEFAULT_TASKS
from pytest_kernelbench.plugin.run_options import RunOptions
from pytest_kernelbench.policies.pinned import folder_of
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.tasks import as_option, load_tasks
from pytest_kernelbench.tasks.gate_sizes import gate_sizes, without_task

TASKS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Gone:
    """A kernel file whose task is renamed or gone. ``why`` is the message of its failing item."""

    task: str
    strategy: str
    why: str


class KeptKernels:
    """The kernel files that strategies of a session evaluate. A strategy whose policy samples evaluates every task."""

    def __init__(self, options: RunOptions, here: Path, baselines: Baselines) -> None:
        """``here``: the folder that pytest was started in, for errors. ``baselines``: adds the tasks that have one."""
        self._options = options
        self._here = here
        self._baselines = baselines

    @cached_property
    def tasks(self) -> dict[str, list[str]]:
        """Task ids by strategy: tasks that have a kernel file, then tasks that have only a baseline."""
        return {
            name: list(dict.fromkeys([*pins, *self._baselines.tasks(name)]))
            for name, pins in self._options.pins.items()
        }

    def belongs(self, task: Task, strategy: Strategy) -> bool:
        """Whether ``task`` is an item of ``strategy``."""
        return task.id in self.tasks.get(strategy.name, (task.id,))

    @property
    def is_all(self) -> bool:
        """Whether every strategy of the run evaluates kernel files."""
        return len(self._options.pins) == len(self._options.strategies)

    def selectors(self) -> list[str]:
        """The selectors of the tasks to run if ``--tasks`` names none. Raises UsageError if no kernel file exists.

        A kernel file without a packaged task adds no selector: see ``gone``.
        """
        kept = list(dict.fromkeys(task for tasks in self.tasks.values() for task in tasks))
        if self.is_all and not kept:
            raise UsageError(f"--strategy={self._options.strategies[0].name}: {self._none}")
        return [*([] if self.is_all else [DEFAULT_TASKS]), *(task for task in kept if _packaged(task) == task)]

    def gone(self, tasks: Sequence[Task], *, some: bool) -> list[Gone]:
        """The kernel files whose task is renamed or gone: no task of ``tasks`` and no packaged task has its id.

        ``some``: the command line names tasks, so other tasks may be left out on purpose. A task then counts as gone
        only if a folder of the user's own has tasks of the same level and lacks this task's file.
        """
        known = {task.id for task in tasks}
        return [
            Gone(task, strategy, self._why_gone(task, strategy))
            for strategy, kept in self.tasks.items()
            for task in kept
            if task not in known and _packaged(task) != task and not (some and _may_be_left_out(task, tasks))
        ]

    def _why_gone(self, task: str, strategy: str) -> str:
        file, near = self._options.pins[strategy].get(task), _packaged(task)
        if file is None:
            remedy = "save a new baseline, or name the task's file with --tasks"
        elif near is not None:
            remedy = f"the packaged one of that number is {near}; rename or remove {file}"
        else:
            remedy = f"name the task's file with --tasks, or rename or remove {file}"
        return f"{id_of(task, strategy)}: its task is renamed or gone: none is called {task}; {remedy}"

    def left_out(self, tasks: Sequence[Task]) -> str | None:
        """One line that names kernel files whose task ``--tasks`` leaves out; None if there are none.

        Raises UsageError if no kernel file belongs to a task of ``--tasks``.
        """
        named = {task.id for task in tasks}
        kept = list(dict.fromkeys(task for pins in self._options.pins.values() for task in pins))
        gone = {each.task for each in self.gone(tasks, some=True)}
        if self.is_all and not gone and not any(named.intersection(tasks) for tasks in self.tasks.values()):
            asked = f"--tasks={','.join(self._options.tasks)}"
            but = f"no kernel is kept for these, but for {_shown(kept)}; name its task"
            raise UsageError(f"{asked}: {but if kept else self._none}")
        others = [task for task in kept if task not in named and task not in gone]
        return f"--tasks leaves out the kernels of {_shown(others)}" if others else None

    def check_sizes(self, tasks: Sequence[Task]) -> str | None:
        """One line if ``--kernelbench-gate-sizes`` has sizes of tasks that are not collected, else None.

        Raises TaskError for sizes that do not fit their task.
        """
        kept = {task for pins in self._options.pins.values() for task in pins}
        file = self._options.gate_options.sizes
        for task in tasks:
            if task.id in kept:
                gate_sizes(task, file)
        others = without_task(file, tasks) if file is not None else []
        return f"{file} has sizes of tasks that are not collected here: {_shown(others)}" if others else None

    @property
    def _none(self) -> str:
        folder = folder_of(self._options.strategies[0].sampling.policy or self._options.policy)
        assert folder is not None
        return (
            f"no kernel is in {self._here / folder}; write one, as in {folder}/level1/19_ReLU.py "
            "with a class ModelNew, or keep what a run chose: python -m pytest_kernelbench pin RUN"
        )


def _packaged(task: str) -> str | None:
    """The id of the packaged task ``task``, else of the packaged task with its level and number; None if neither is."""
    level, _, name = task.partition("/")
    for selector in (task, f"{level}/{name.partition('_')[0]}"):
        try:
            return load_tasks(selector, named=as_option)[0].id
        except TaskError:
            continue
    return None


def _may_be_left_out(task: str, tasks: Sequence[Task]) -> bool:
    """Whether the file of ``task`` exists in the user's folders of its level, or no such folder was named."""
    level, _, name = task.partition("/")
    folders = {each.path.parent for each in tasks if each.path is not None and each.level == level}
    own = [folder for folder in folders if not folder.is_relative_to(data_folder("tasks"))]
    return not own or any((folder / f"{name}.py").is_file() for folder in own)


def _shown(tasks: Sequence[str]) -> str:
    more = len(tasks) - TASKS_SHOWN
    return ", ".join(tasks[:TASKS_SHOWN]) + (f" and {more} more" if more > 0 else "")
