"""Append-only JSONL files that several processes share, and the file locks that make this safe."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.records import json_text

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where run folders are only read
    fcntl = None  # type: ignore[assignment]

Row = dict[str, Any]


class Table:
    """One append-only JSONL file. Rows stay on disk; memory holds only the position of each row, by its ``key``."""

    def __init__(self, path: Path, key: str = "task") -> None:
        self.path = path
        self.key = key
        self._read_to = 0
        self._lines = 0
        self._places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        # The thread that prepares the next items reads tables too.
        self._reading = threading.Lock()

    def rows(self, of: str) -> list[Row]:
        """All rows of one key (a task's id, or a lineage) so far, also rows that other processes appended.

        Raises UsageError for a line that is not a record.
        """
        if not self.path.exists():
            return []
        with self._reading, self.path.open("rb") as stream:
            self._catch_up(stream.fileno())
            return [json.loads(os.pread(stream.fileno(), size, start)) for start, size in self._places[of]]

    def append(self, row: Mapping[str, Any]) -> None:
        """Record ``row``. Raises HarnessError where it cannot be written."""
        try:
            line = json_text(row).encode() + b"\n"
        except ValueError as error:
            raise HarnessError(f"{self.path}: a record of {row[self.key]} is no JSON: {error}") from error
        with locked(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT) as file:
            self._cut_torn_line(file)
            end = os.fstat(file).st_size
            try:
                written = os.write(file, line)
                reason = "disk full"
            except OSError as error:
                written, reason = 0, str(error.strerror)
            if written != len(line):
                os.ftruncate(file, end)
                raise HarnessError(f"{self.path}: cannot be written ({reason}); make room and run again to resume")

    def repair(self) -> str | None:
        """Remove a last line that was not written to its end. Returns a warning about it, or None."""
        if not self.path.exists():
            return None
        with locked(self.path, os.O_RDWR) as file:
            cut = self._cut_torn_line(file)
            self._catch_up(file)
        if not cut:
            return None
        return f"{self.path}:{self._lines + 1}: cut off a record that was not finished; it is made again"

    def _cut_torn_line(self, file: int) -> bool:
        # Otherwise the next record would be appended to the unfinished line, and both would be lost.
        end = os.fstat(file).st_size
        if end == 0 or os.pread(file, 1, end - 1) == b"\n":
            return False
        start = end
        while start > 0:
            step = min(start, 65536)
            newline = os.pread(file, step, start - step).rfind(b"\n")
            start = start - step + newline + 1 if newline >= 0 else start - step
            if newline >= 0:
                break
        os.ftruncate(file, start)
        return True

    def _catch_up(self, file: int) -> None:
        with os.fdopen(os.dup(file), "rb") as stream:
            stream.seek(self._read_to)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                try:
                    of = json.loads(line)[self.key]
                except (ValueError, KeyError, TypeError):
                    place = f"{self.path}:{self._lines + 1}"
                    raise UsageError(f"{place}: not a record; remove the line, or start another run") from None
                self._places[of].append((self._read_to, len(line)))
                self._read_to += len(line)
                self._lines += 1


@contextmanager
def locked(path: Path, flags: int, *, wait: bool = True) -> Iterator[int]:
    """Open and lock a file; yields its descriptor. With ``wait=False``, yields -1 if another process has the lock.

    Raises UsageError on a system without file locks.
    """
    if fcntl is None:
        raise UsageError(f"{path.parent}: a run folder is written on Linux or macOS; on {sys.platform} it is only read")
    file = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = file
        except BlockingIOError:
            held = -1
        yield held
    finally:
        os.close(file)


def write_atomically(path: Path, value: Mapping[str, Any]) -> None:
    """Replace the file by ``value`` as JSON. Raises HarnessError for a number that JSON does not have."""
    try:
        text = json_text(value, indent=1)
    except ValueError as error:
        raise HarnessError(f"{path}: is not written: {error}") from error
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, path)


def probe(folder: Path) -> None:
    """Write and remove a file, so that a full disk or a missing permission shows before the run begins.

    Raises OSError.
    """
    probe = folder / "locks" / f"probe-{os.getpid()}"
    try:
        probe.write_bytes(b"\0" * 4096)
    finally:
        probe.unlink(missing_ok=True)


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, innermost first, up to one that holds something. A folder that is not there is passed over."""
    for folder in folders:
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return
