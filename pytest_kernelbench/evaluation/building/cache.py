"""The build cache: files are put in whole, and the least recently used are removed beyond a size.

Several processes may use it at the same time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# A library of one CUDA kernel has 1 MB, or up to 30 MB with torch's full headers.
MAX_BYTES = 8 << 30
# The share of ``MAX_BYTES`` that is kept when files are removed, so that it is not needed again at once.
KEPT_SHARE = 0.8
# Files that were used in the last hour stay: they may be about to be loaded by a worker.
RECENT_S = 3600.0
# The folder of the cache that holds its locks: hidden from candidates, and never removed.
LOCKS = "locks"


class Entry(NamedTuple):
    """A file, or a folder with all below it: when it was used last, and its size."""

    used: float
    n_bytes: int
    path: Path


def touch(path: Path) -> None:
    """Note that a build was used now; does nothing if it was removed."""
    with suppress(OSError):
        os.utime(path)


def keep(place: Path, content: bytes) -> None:
    """Put ``content`` into the cache at ``place``, in one step: other processes find all of it or nothing."""
    with tempfile.TemporaryDirectory(prefix="build-", dir=place.parent) as scratch:
        written = Path(scratch, place.name)
        written.write_bytes(content)
        written.replace(place)


def forget(folder: Path, *, max_bytes: int = MAX_BYTES, recent_s: float = RECENT_S) -> int:
    """Remove what was used longest ago while the folder holds more than ``max_bytes``; returns the bytes removed.

    Files that were used in the last ``recent_s`` seconds stay. A file that another process has removed first is no
    error, and a build that is missing later is made again.
    """
    entries = sorted(_entries(folder))
    held = sum(entry.n_bytes for entry in entries)
    if held <= max_bytes:
        return 0
    removed, horizon = 0, time.time() - recent_s
    for entry in entries:
        if held - removed <= KEPT_SHARE * max_bytes or entry.used > horizon:
            break
        if entry.path.is_dir():
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            entry.path.unlink(missing_ok=True)
        removed += entry.n_bytes
    return removed


def _entries(folder: Path) -> Iterator[Entry]:
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        for each in found:
            if each.name == LOCKS:
                continue
            with suppress(OSError):  # another process removed it first
                if each.is_dir(follow_symlinks=False):
                    files = [Path(root, name) for root, _, names in os.walk(each.path) for name in names]
                    n_bytes = sum(file.lstat().st_size for file in files)
                else:
                    n_bytes = each.stat(follow_symlinks=False).st_size
                yield Entry(each.stat(follow_symlinks=False).st_mtime, n_bytes, Path(each.path))
