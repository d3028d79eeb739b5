"""Settings of the host that judge and workers share: reuse of freed memory, and the core of a thread."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# The largest that glibc accepts for blocks that come from the heap.
_LARGEST_FROM_THE_HEAP = 32 << 20


def keep_freed_memory() -> None:
    """Make malloc reuse freed memory: if each output is a new mapping, its pages are zeroed at the first touch.

    Zeroing takes as long as many kernels, on both sides, and hides their difference. Does nothing if the C library
    has no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_FROM_THE_HEAP)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def give_back_freed_memory() -> None:
    """Give the system all memory that was freed and kept: after a task of 8 GB a process would hold 8 GB for ever.

    Does nothing if the C library has no such call.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def to_first_core(cores: frozenset[int], *, bind: Callable[[int, Iterable[int]], None] = os.sched_setaffinity) -> None:
    """Move this thread to the first of ``cores``; afterwards the system may move it to any of them.

    OpenMP's other threads are bound to the other cores. If this thread is on one of these cores, both threads share
    it, and a call of 0.8 ms takes 1.5 ms (docs/measurements.md).
    """
    bind(0, (min(cores),))
    bind(0, cores)
