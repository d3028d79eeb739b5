"""The tasks that one selector of ``--tasks`` names: a level, a split, a task, a file, a checkout, the dataset."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import TaskError, suggestion
from pytest_kernelbench.host.resources import data_folder
from pytest_kernelbench.records import Task
from pytest_kernelbench.tasks.files import absolute, natural, number_of, parse_task, task_files, tasks_of, toml_of
from pytest_kernelbench.tasks.sources import check

DATASET = "ScalingIntelligence/KernelBench"

DEFAULT_SEED = 42


def select(selector: str, place: str) -> list[Task]:
    """The tasks that one selector names; see ``pytest_kernelbench.tasks`` for their forms.

    Raises TaskError, which begins with ``place``.
    """
    try:
        return _selected(selector, place)
    except OSError as error:
        shown = error.filename if error.filename else selector
        raise TaskError(
            f"{place}: {shown} cannot be read ({error.strerror}); give a level, a file or a folder"
        ) from error


def apart(selectors: Iterable[str | Path]) -> list[str]:
    """Each selector by itself; one text may name several, separated by commas."""
    return [name.strip() for selector in selectors for name in str(selector).split(",") if name.strip()]


def names_a_file(selector: str) -> bool:
    """Whether a selector begins with the path of a file or a folder, and not with a packaged level or the dataset."""
    levels = {*_packaged_levels(), "hf"}
    return not {selector, selector.rpartition(":")[0], selector.rpartition("/")[0]} & levels


def _selected(selector: str, place: str) -> list[Task]:
    base, colon, choice = selector.rpartition(":")
    if selector == "hf" or base == "hf":
        return _dataset(place, level=choice if colon else None)
    if (folder := _level_folder(selector)) is not None:
        return tasks_of(folder)
    path = _path(selector)
    if path.is_file():
        return [parse_task(path)]
    if path.is_dir():
        return _checkout(path, place)
    if colon and (folder := _level_folder(base)) is not None:
        return _split(folder, choice, place)
    base, slash, choice = selector.rpartition("/")
    if slash and (folder := _level_folder(base)) is not None:
        return _matching(folder, choice, place)
    levels = _packaged_levels()
    hint = suggestion(selector, [*levels, "hf"], "{}") or f"packaged: {', '.join(levels)}"
    raise TaskError(f"{place}: no such level, file or folder; {hint}")


def _packaged_levels() -> list[str]:
    return sorted(folder.name for folder in data_folder("tasks").glob("level*") if folder.is_dir())


def _level_folder(name: str) -> Path | None:
    """The folder of the packaged level ``name``, else the folder ``name`` if it directly contains task files."""
    if name in _packaged_levels():
        return data_folder("tasks") / name
    folder = _path(name)
    return folder if name and folder.is_dir() and any(task_files(folder)) else None


def _path(text: str) -> Path:
    # Not Path.expanduser(), which raises RuntimeError for a user who is not there.
    return Path(os.path.expanduser(text))


def _checkout(folder: Path, place: str) -> list[Task]:
    levels = [level for root in (folder / "KernelBench", folder) for level in root.glob("level*")]
    tasks = [task for level in levels if level.is_dir() for task in tasks_of(level)]
    if not tasks:
        raise TaskError(f"{place}: holds no KernelBench task; give a level folder or a KernelBench checkout")
    return tasks


def _split(folder: Path, choice: str, place: str) -> list[Task]:
    level = absolute(folder).name
    stem = level.replace("level", "l") + "_seed"
    files = {path.stem.removeprefix(stem): path for path in data_folder("tasks").glob(f"splits/{stem}*.toml")}
    if not files:
        raise TaskError(f"{place}: {level} has no splits; give {level}, or tasks of it such as {level}/1")
    named_seed = re.fullmatch(r"seed([^.]*)\.(.*)", choice)
    seed, name = named_seed.groups() if named_seed else (str(DEFAULT_SEED), choice)
    if seed not in files:
        seeds = ", ".join(f"seed{known}" for known in sorted(files, key=natural))
        raise TaskError(f"{place}: no such seed; there are {seeds}")
    splits = toml_of(files[seed])
    if name not in splits:
        raise TaskError(f"{place}: no such split; there are {', '.join(splits)}")
    by_number = {number_of(task.name): task for task in tasks_of(folder)}
    for number in splits[name]:
        if number not in by_number:
            raise TaskError(f"{place}: the split has task {number}, which {folder} lacks")
    return [by_number[number] for number in splits[name]]


def _matching(folder: Path, choice: str, place: str) -> list[Task]:
    tasks, level = tasks_of(folder), absolute(folder).name
    if choice.isdecimal():
        chosen = [task for task in tasks if number_of(task.name) == int(choice)]
    else:
        chosen = [task for task in tasks if choice == task.name or fnmatchcase(task.name, choice)]
    if chosen:
        return chosen
    if choice.isdecimal():
        numbers = [number for task in tasks if (number := number_of(task.name)) is not None]
        there = f"{level} has " + (f"{min(numbers)} to {max(numbers)}" if numbers else "no numbered task")
    # Task names are long: half of a name is less similar to the whole than difflib's usual limit of 0.6.
    elif not (there := suggestion(choice, [task.name for task in tasks], f"{level}/{{}}", cutoff=0.4)):
        there = f"{level} has {len(tasks)}, the first is {tasks[0].id}"
    raise TaskError(f"{place}: no such task; {there}")


def _dataset(place: str, level: str | None) -> list[Task]:
    try:
        from datasets import load_dataset
    except ModuleNotFoundError as error:
        raise TaskError(
            f"{place}: needs the package datasets; pip install datasets, or give a KernelBench checkout"
        ) from error
    try:
        splits = load_dataset(DATASET)
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise TaskError(
            f"{place}: {DATASET} did not load ({reason}); go online once, or give a KernelBench checkout"
        ) from error
    tasks = [
        Task(id=f"level{row['level']}/{_numbered(row)}", source=row["code"]) for rows in splits.values() for row in rows
    ]
    chosen = [task for task in tasks if level in (None, task.level)]
    if not chosen:
        levels = sorted({task.level for task in tasks})
        raise TaskError(f"{place}: no such level; there are {', '.join(levels)}")
    for task in chosen:
        check(task.source, f"{DATASET} {task.id}")
    return chosen


def _numbered(row: Mapping[str, Any]) -> str:
    name = str(row["name"]).removesuffix(".py")
    return name if number_of(name) is not None else f"{row['problem_id']}_{name}"
