"""Files of tasks: one task, a folder of them, and their order."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.records import Task
from pytest_kernelbench.tasks.sources import PARTS, check

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def parse_task(path: Path) -> Task:
    """The task in the file ``path``, with id ``<folder>/<stem>``.

    Raises TaskError when the file cannot be read, does not parse, or lacks one of the three definitions.
    """
    path = absolute(path)
    try:
        source = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path}: cannot be read ({error}); give a KernelBench task in UTF-8") from error
    check(source, str(path))
    return Task(id=f"{path.parent.name}/{path.stem}", source=source, path=path)


def is_task_file(path: Path) -> bool:
    """Whether ``path`` may be a task: a Python file whose text contains the names that a task defines. Parses nothing.

    False is certain. A file for which this is True may still not be a task.
    """
    if path.suffix != ".py" or not path.is_file():
        return False
    text = path.read_bytes()
    return all(name.encode() in text for name in PARTS)


def task_files(folder: Path) -> Iterator[Path]:
    """The task files directly in ``folder``, in no particular order."""
    # A file whose name begins with a number is meant to be a task. If it is not one, the user should see an error.
    for path in folder.glob("*.py"):
        if number_of(path.stem) is not None or is_task_file(path):
            yield path


def tasks_of(folder: Path) -> list[Task]:
    """The tasks directly in ``folder``, in natural order. Raises TaskError."""
    return [parse_task(path) for path in sorted(task_files(folder), key=lambda path: natural(path.stem))]


def toml_of(file: Path) -> dict[str, Any]:
    """A TOML file as a table. Raises TaskError."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise TaskError(f"{file}: cannot be read ({error.strerror}); give a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TaskError(f"{file}: is not TOML ({error}); correct it") from error


def absolute(path: Path) -> Path:
    """``path`` as an absolute path. Symbolic links are kept."""
    # Not resolve(): some package managers link files from a store, and only the link has the task's name.
    return Path(os.path.abspath(path))


def number_of(name: str) -> int | None:
    """The number that a task's name begins with: 12 of ``12_Matmul``."""
    match = re.match(r"[0-9]+", name)
    return int(match[0]) if match else None


def natural(text: str) -> list[str | int]:
    """A sort key by which ``level1/4`` comes before ``level1/12``."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", text)]
