"""The memory of a worker: what becomes of it when it is freed, and who may read it."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# The largest that glibc accepts for blocks that come from the heap.
_LARGEST_FROM_THE_HEAP = 32 << 20
_PR_SET_DUMPABLE, _PR_SET_PTRACER, _PR_SET_PTRACER_ANY = 4, 0x59616D61, ctypes.c_ulong(-1)


def keep_freed_memory() -> None:
    """Have freed memory used again: where each output is a new mapping, its pages are zeroed at the first touch.

    That takes as long as many a kernel, on both sides alike, and hides what one saves. Nothing happens where the C
    library knows no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_FROM_THE_HEAP)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def let_memory_be_read() -> None:
    """Let the judge, a process of the same user, read outputs where they are; some kernels let parents only."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PTRACER, _PR_SET_PTRACER_ANY, 0, 0, 0)
