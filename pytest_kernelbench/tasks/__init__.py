"""KernelBench tasks as text: found by selector, parsed with ``ast``, never imported here.

A selector is one of

    level1                          a packaged level
    level1:eval                     one of its splits: train, eval, subset1, subset2 (seed 42)
    level1:seed43.eval              the split drawn with another seed
    level1/12                       a task by number, by name, or by a glob: level1/*ReLU*
    ./my_task.py                    a task file
    ../KernelBench                  a KernelBench checkout, or one level folder of it
    ../KernelBench/KernelBench/level1:eval, .../level2/5
    hf, hf:level2                   the dataset ScalingIntelligence/KernelBench

A packaged level goes before a folder of the same name; write ``./level1`` for the folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.records import Task
from pytest_kernelbench.tasks.files import is_task_file, natural, parse_task
from pytest_kernelbench.tasks.selectors import DATASET, apart, select
from pytest_kernelbench.tasks.small import Named, sized_small
from pytest_kernelbench.tasks.sources import with_sizes

__all__ = ["as_argument", "as_option", "is_task_file", "load_tasks", "parse_task", "with_sizes"]


def as_option(argument: str, value: object = None) -> str:
    """How a command line of pytest spells an argument of ``load_tasks``: ``--kernelbench-sizes=full``.

    Without a ``value``, its name alone: ``--kernelbench-sizes``.
    """
    return as_argument("--tasks" if argument == "tasks" else f"--kernelbench-{argument}", value)


def as_argument(argument: str, value: object = None) -> str:
    """How Python spells it: ``sizes=full``, or ``sizes`` without a ``value``."""
    return argument if value is None else f"{argument}={value}"


def load_tasks(
    selectors: str | Path | Sequence[str | Path],
    *,
    sizes: str = "full",
    small: Path | None = None,
    named: Named = as_argument,
) -> list[Task]:
    """The tasks that ``selectors`` name (see above; separated by commas), in natural order, each once.

    ``sizes``: ``full`` for the constants in the task's own text; ``small`` for the constants in the file ``small``, or
    if it has none for the task, in the ``small.toml`` beside the task, or in the packaged level of the same name.
    ``named``: how errors spell the caller's ``tasks``, ``sizes`` and ``small``, such as ``as_option``.

    Raises TaskError for a selector that matches no task, a file that is not a task, two different tasks with the same
    id, and a small size that is missing or does not fit the task.
    """
    if sizes not in ("full", "small"):
        raise TaskError(f'{named("sizes", sizes)}: no such sizes; there are "full" and "small"')
    listed = [selectors] if isinstance(selectors, (str, Path)) else selectors
    if not isinstance(listed, Sequence) or not all(isinstance(each, (str, Path)) for each in listed):
        raise TaskError(f"{named('tasks')}: {selectors!r} is no text and no list of texts; give level1/12, or a list")
    names = apart(listed)
    if not names:
        raise TaskError(f"{named('tasks')}: no task named; give level1, level1:eval, level1/12, a path or hf")
    found: dict[str, Task] = {}
    for name in names:
        for task in select(name, named("tasks", name)):
            known = found.setdefault(task.id, task)
            if known.path != task.path:
                raise TaskError(
                    f"{named('tasks', name)}: {task.id} is both {known.path or DATASET} and {task.path or DATASET}; "
                    "name one of them"
                )
    tasks = sorted(found.values(), key=lambda task: natural(task.id))
    return tasks if sizes == "full" else sized_small(tasks, small, named)
