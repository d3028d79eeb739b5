"""Ends a candidate whose processes grow beyond their limits, or that has taken the machine's memory."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pytest_kernelbench.evaluation.sandbox import Isolation, Limits, cgroup, descendants

WATCH_INTERVAL_S = 0.1
LEAST_SHARE_OF_MEMORY = 0.03


class Ended(NamedTuple):
    """A worker's wait status; ``by_others``: it was ended because memory was short, and other processes held it."""

    status: int
    by_others: bool


def watch(worker: int, isolation: Isolation, limits: Limits, *, folder: Path, sees_it: bool) -> Ended:
    """Wait for the process ``worker``, and end its tree if it grows beyond the limits, or if memory is short.

    ``folder`` is the worker's private one, in memory. ``sees_it``: whether /proc shows the worker's processes, as
    ``own_process_table`` returns; else nothing is ended here.

    Runs in the first process of the namespace: when it returns and exits, the kernel kills all other processes. Without
    a namespace, the tree is all descendants of the parent, which adopts orphans.
    """
    free_bytes: int | None = None
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == worker:
            return Ended(status, free_bytes is not None and not _took_the_memory(free_bytes, folder))
        if pid == 0:
            tree = _process_tree(isolation) if sees_it else []
            too_large = bool(tree) and _too_large(tree, limits)
            if too_large or (tree and _memory_is_short()):
                if not too_large and free_bytes is None:
                    free_bytes = cgroup.machine_memory_bytes().free
                _end(tree, isolation)
            time.sleep(WATCH_INTERVAL_S)


def _end(tree: Sequence[int], isolation: Isolation) -> None:
    if isolation.processes:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        return
    for process in tree:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _process_tree(isolation: Isolation) -> list[int]:
    """The candidate's processes, without this one."""
    if isolation.processes:
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    return [process for process in descendants(os.getppid()) if process != os.getpid()]


def _too_large(tree: Sequence[int], limits: Limits) -> bool:
    if len(tree) > limits.processes:
        return True
    resident_pages = 0
    for process in tree:
        try:
            # Resident minus shared: pages common with the warm server are not the candidate's.
            fields = Path(f"/proc/{process}/statm").read_text().split()
        except OSError:
            continue
        resident_pages += max(0, int(fields[1]) - int(fields[2]))
    return resident_pages * resource.getpagesize() > limits.resident_bytes


def _memory_is_short() -> bool:
    # Looked at besides the processes' memory, because anonymous files (memfd) are in no process's.
    whole, free = cgroup.machine_memory_bytes()
    return free < LEAST_SHARE_OF_MEMORY * whole


def _took_the_memory(free_before: int, folder: Path) -> bool:
    """Whether the processes that were just ended held so much that memory was short because of them."""
    whole, free = cgroup.machine_memory_bytes()
    # The private folder is freed with the namespace, a little later, so its bytes are added.
    in_folder = os.statvfs(folder)
    held = free - free_before + (in_folder.f_blocks - in_folder.f_bfree) * in_folder.f_frsize
    return held > LEAST_SHARE_OF_MEMORY * whole / 2
