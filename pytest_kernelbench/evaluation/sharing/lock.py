"""Locks that are held across processes and runs; the kernel lets go of them when a process dies.

A device is held by one process that times (``exclusive``), or by any number of processes whose work needs no quiet
(``shared``): on a GPU they check candidates, on a CPU they build. So while a process times on a device, no other
process uses it. The builds of all processes on a host share a number of places (``job``), and so do the workers that
start on a GPU.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_kernelbench.errors import HarnessError

BETWEEN_LOOKS_S = 0.02
BETWEEN_PROBES_S = 0.001
# Held by a build that a trial waits for, while it waits for a place.
JOBS_NOW = "jobs-now"


@contextlib.contextmanager
def exclusive(
    device_name: str, folder: Path | None = None, *, let_go: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Wait for the device and hold it alone.

    ``device_name`` identifies the hardware (a GPU's UUID, or ``cpu``), not an index that differs between
    processes with other visible devices. ``let_go`` is called once no further process can share the device; it gives up
    the caller's own share.
    """
    with contextlib.ExitStack() as held:
        # Processes that wait to be alone hold the gate together: while it is held, no further process can share.
        with _held(f"{device_name}-gate", folder, fcntl.LOCK_SH):
            let_go()
            held.enter_context(_held(device_name, folder, fcntl.LOCK_EX))
        yield


@contextlib.contextmanager
def shared(device_name: str, folder: Path | None = None) -> Iterator[None]:
    """Wait until no process holds the device alone or waits for that, and hold it with others that share it.

    Processes that time come first: by flock alone, sharing processes would overtake a trial for as long as there is
    anything to build. The waiting processes that share are then let in together.
    """
    with _held(f"{device_name}-gate", folder, fcntl.LOCK_EX):
        pass
    with _held(device_name, folder, fcntl.LOCK_SH):
        yield


def is_awaited(device_name: str, folder: Path | None = None) -> bool:
    """Whether a process holds the device alone or waits for that."""
    if not _is_held(f"{device_name}-gate", folder):
        return False
    # It may have been another process that asked, or one that passed on its way to share.
    time.sleep(BETWEEN_PROBES_S)
    return _is_held(f"{device_name}-gate", folder)


def _is_held(name: str, folder: Path | None) -> bool:
    taken = _taken(name, folder)
    if taken is not None:
        os.close(taken)
    return taken is None


def alone(name: str, folder: Path | None = None) -> contextlib.AbstractContextManager[None]:
    """Wait for a lock by its own name, which is no device's, and hold it alone."""
    return _held(name, folder, fcntl.LOCK_EX)


@contextlib.contextmanager
def job(count: int, folder: Path | None = None, *, for_later: bool = False) -> Iterator[None]:
    """Wait for one of the host's ``count`` places for a build, and take it.

    ``for_later``: leave the place to any build that is not for later and waits too.
    """
    # Of all who wait, one looks for a place, and the others sleep.
    with _held("jobs-for-later" if for_later else JOBS_NOW, folder, fcntl.LOCK_EX):
        while (for_later and _is_held(JOBS_NOW, folder)) or (place := free_place("job", count, folder)) is None:
            time.sleep(BETWEEN_LOOKS_S)
    try:
        yield
    finally:
        os.close(place)


def free_place(name: str, count: int, folder: Path | None = None) -> int | None:
    """Take one of ``count`` places of this name, if one is free: a descriptor, to be closed when it is left."""
    places = (_taken(f"{name}-{number}", folder) for number in range(count))
    return next((place for place in places if place is not None), None)


def _taken(name: str, folder: Path | None) -> int | None:
    """A descriptor that holds a lock alone, to be closed; None if any process holds it."""
    descriptor = _opened(name, folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def _held(name: str, folder: Path | None, how: int) -> Iterator[None]:
    descriptor = _opened(name, folder)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def folder_for_all() -> Path:
    """The folder of a machine's locks. It ignores TMPDIR: runs with different folders would time at the same time."""
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    found = (Path(each) for each in ("/tmp", "/var/tmp", own) if each and Path(each).is_dir())
    return next(found, Path(tempfile.gettempdir()))


def _opened(name: str, folder: Path | None) -> int:
    path = (folder or folder_for_all()) / f"kernelbench-{name}.lock"
    try:
        try:
            # Opened for reading, and created only if missing: the file may be another user's, in a shared folder.
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CREAT, 0o644)
            # Readable under any umask: other users must be able to wait for the lock.
            os.fchmod(descriptor, 0o644)
            return descriptor
    except OSError as error:
        raise HarnessError(
            f"{path}: cannot be opened ({error.strerror}); let every user who times here write to its folder"
        ) from None
