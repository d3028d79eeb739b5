"""Further sizes of a task at which a kept kernel is checked, timed and compared: tables of its module's constants.

    [[19_ReLU]]
    batch_size = 16
    dim = 1023

The name of a table is the task's, or ``["level2/19_ReLU"]`` if two levels have a task of that name. Constants that a
table leaves out have the values of the run's own size of the task.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.records import Task
from pytest_kernelbench.tasks.files import toml_of
from pytest_kernelbench.tasks.small import frozen
from pytest_kernelbench.tasks.sources import assignments, parse, text_for_a_number, with_sizes

FILE = "sizes.toml"


@dataclass(frozen=True, slots=True)
class GateSize:
    """One size of a task. ``name``: as in ``batch_size=16, dim=1023``; empty for the run's own size."""

    name: str
    task: Task


def gate_sizes(task: Task, named: Path | None = None) -> list[GateSize]:
    """The run's own size of ``task``, then the sizes that the file ``named`` has for it.

    If that file has none, or if ``named`` is None, the ``sizes.toml`` beside the task's file is read. Raises TaskError
    for a file that does not exist or is not TOML, for a value that is not a table, for a constant that the task does
    not have, and for a text in place of a number.
    """
    sizes = [GateSize("", task)]
    for file in _files_of(task, named):
        tables = toml_of(file)
        key = next((key for key in (task.id, task.name) if key in tables), None)
        if key is None:
            continue
        assigned = assignments(parse(task.source))
        for table in _tables(file, key, tables[key]):
            values = {name: frozen(value) for name, value in table.items()}
            for name, value in values.items():
                if problem := text_for_a_number(value, assigned.get(name, ())):
                    raise TaskError(f'{file}: [[{key}]]: cannot size "{name}": {problem}')
            try:
                with_sizes(task.source, values)
            except TaskError as error:
                raise TaskError(f"{file}: [[{key}]]: {error}") from error
            sized = replace(task, sizes={**task.sizes, **values})
            if all(sized.sizes != each.task.sizes for each in sizes):
                sizes.append(GateSize(", ".join(f"{name}={value}" for name, value in values.items()), sized))
        break
    return sizes


def without_task(file: Path, tasks: Iterable[Task]) -> list[str]:
    """The names in ``file`` that match none of ``tasks``, because the task was renamed or is not collected."""
    known = {name for task in tasks for name in (task.id, task.name)}
    return [name for name in toml_of(file) if name not in known]


def _files_of(task: Task, named: Path | None) -> list[Path]:
    if named is not None and not os.path.isfile(named):  # Path.is_file() raises OSError for a name that is too long
        raise TaskError(f"--kernelbench-gate-sizes={named}: no such file; give a TOML file with [[{task.name}]] tables")
    beside = task.path.parent / FILE if task.path else None
    return [file for file in (named, beside) if file is not None and file.is_file()]


def _tables(file: Path, key: str, tables: Any) -> list[Mapping[str, Any]]:
    listed = [tables] if isinstance(tables, dict) else tables
    if not isinstance(listed, list) or not all(isinstance(table, dict) and table for table in listed):
        raise TaskError(f"{file}: {key} is no list of tables; write [[{key}]] and its constants below, for each size")
    return listed
