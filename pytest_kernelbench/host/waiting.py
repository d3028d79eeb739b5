"""Finds the holder of a lock that this process or its children wait for, from ``/proc/locks`` (Linux)."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

# 1: -> FLOCK  ADVISORY  WRITE 1234 08:02:5678 0 EOF
LOCK = re.compile(r"^(?P<id>\d+): +(?P<waits>-> )?FLOCK +\w+ +\w+ (?P<pid>\d+) \w+:\w+:(?P<inode>\d+) ", re.MULTILINE)


def folder_of_holder(folder: Path, names: str) -> Path | None:
    """The folder in which the run was started that holds a lock this run waits for; None if it waits for none.

    Locks are files of ``folder`` that match the pattern ``names``. None also if the system does not show locks.
    """
    try:
        listing = Path("/proc/locks").read_text()
    except OSError:
        return None
    inodes = {str(path.stat().st_ino) for path in folder.glob(names)}
    locks = [row for row in LOCK.finditer(listing) if row["inode"] in inodes]
    waited_for = {row["id"] for row in locks if row["waits"] and _is_ours(int(row["pid"]))}
    for row in locks:
        if row["id"] in waited_for and not row["waits"] and not _is_ours(int(row["pid"])):
            with suppress(OSError):
                return Path(f"/proc/{row['pid']}/cwd").readlink()
    return None


def _is_ours(process: int) -> bool:
    """Whether ``process`` is this one, or below it."""
    while process > 1:
        if process == os.getpid():
            return True
        try:
            process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            return False
    return False
