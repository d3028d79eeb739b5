"""The files that a command writes, checked before their content is computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_kernelbench.errors import UsageError

NOT_WRITTEN = "could not be written"


def writable_folder(folder: Path, option: str) -> None:
    """Make ``folder`` where there is none. Raises UsageError, which names ``option``, where it cannot be one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be a folder ({error.strerror}); name another with {option}") from error


@contextmanager
def writing(path: Path, option: str) -> Iterator[None]:
    """An error of writing ``path`` as one line. Raises UsageError, which names ``option`` for another place."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: {NOT_WRITTEN} ({error.strerror}); name another place with {option}") from error
