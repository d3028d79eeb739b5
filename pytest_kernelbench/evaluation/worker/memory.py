"""Lets the judge read the memory of a worker."""

from __future__ import annotations

import ctypes

_PR_SET_DUMPABLE, _PR_SET_PTRACER, _PR_SET_PTRACER_ANY = 4, 0x59616D61, ctypes.c_ulong(-1)


def let_memory_be_read() -> None:
    """Let the judge, a process of the same user, read this process's memory; some kernels allow only parents that."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PTRACER, _PR_SET_PTRACER_ANY, 0, 0, 0)
