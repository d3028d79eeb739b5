"""One lock for each device, held across processes and runs: nothing else is timed while it is held."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def exclusive(device_name: str, folder: Path | None = None) -> Iterator[None]:
    """Wait for the device and hold it; the kernel lets go when the process dies.

    ``device_name`` identifies the hardware (a GPU's UUID, or ``cpu``), not an index that differs between
    processes with other visible devices.
    """
    path = (folder or Path(tempfile.gettempdir())) / f"kernelbench-{device_name}.lock"
    try:
        # Only to read, and made only where it is missing: it may be another user's, in a folder for all.
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
