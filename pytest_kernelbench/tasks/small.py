"""Small sizes of tasks: values of constants by name, from ``small.toml`` or from the user's file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.records import Task
from pytest_kernelbench.tasks.files import toml_of
from pytest_kernelbench.tasks.sources import assignments, no_constant, parse, text_for_a_number


class Named(Protocol):
    """How an error spells an argument of ``load_tasks`` with a value, or its name alone where ``value`` is None."""

    def __call__(self, argument: str, value: object = None) -> str: ...


def sized_small(tasks: Iterable[Task], small: Path | None, named: Named) -> list[Task]:
    """The tasks with small sizes, from the file ``small``, the ``small.toml`` beside the task, or the packaged one.

    Raises TaskError for a file that does not exist, and for a task that has no small size or one that does not fit.
    ``named``: as for ``load_tasks``.
    """
    tables: dict[Path, dict[str, Any]] = {}
    if small is not None:
        if not os.path.isfile(small):  # Path.is_file() raises OSError for a name that is too long
            raise TaskError(f"{named('small', small)}: no such file; give a TOML file with a table for each task")
        tables[small] = toml_of(small)
    sized = []
    for task in tasks:
        own = task.path.parent / "small.toml" if task.path else None
        packaged = data_folder("tasks") / task.level / "small.toml"
        file = own if own and own.is_file() else packaged
        # Two levels may have tasks of the same name. A quoted table name such as ["level2/1_Name"] tells them apart.
        key = next((key for key in (task.id, task.name) if small is not None and key in tables[small]), None)
        if small is not None and key is not None:
            file = own = small
        if file not in tables:
            tables[file] = toml_of(file) if file.is_file() else {}
        sizes = tables[file].get(key or task.name)
        if sizes is not None and not isinstance(sizes, dict):
            raise TaskError(f"{file}: {task.name} is no table; write [{task.name}] and its constants below")
        assigned = assignments(parse(task.source))
        unknown = [name for name in sizes or () if name not in assigned]
        if unknown and file == own:
            raise TaskError(f'{file}: [{task.name}] "{unknown[0]}": {no_constant(unknown[0], assigned)}')
        for name, value in (sizes or {}).items():
            if name in assigned and (problem := text_for_a_number(value, assigned[name])):
                raise TaskError(f'{file}: [{task.name}] "{name}": {problem}')
        # A task of a KernelBench checkout may have other constants than the packaged version, whose sizes do not fit.
        if sizes is None or unknown:
            remedy = f"add [{task.name}] to {own} or use" if own else "use"
            place, full = named("sizes", "small"), named("sizes", "full")
            raise TaskError(f"{place}: no small size for {task.id}; {remedy} {full}")
        sized.append(replace(task, sizes={name: frozen(value) for name, value in sizes.items()}))
    return sized


def frozen(value: Any) -> Any:
    """A value of a TOML file, with arrays as tuples."""
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value
