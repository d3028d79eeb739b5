"""Outputs read from where a worker has them: in its own memory, while it is stopped.

A worker that had to hand its outputs over could compute them then. So it only tells where they are, together with its
answer that all calls are done; it is stopped at once, and the judge looks there.
"""

from __future__ import annotations

import ctypes
import math
import os
from typing import NamedTuple, Protocol

import torch


class Place(NamedTuple):
    """Where a worker says that an output is. ``handle``: of the allocation on a GPU, from whose start ``at`` counts."""

    at: int
    strides: tuple[int, ...]
    handle: str = ""


class NotThere(Exception):
    """Where a worker said that an output is, none can be."""


class CannotRead(Exception):
    """This machine does not let the judge read a worker's memory."""


class Memory(Protocol):
    """A worker's memory, as the judge reads it."""

    def tensor(self, place: Place, like: torch.Tensor) -> torch.Tensor:
        """What is there now, as a tensor with shape and type of ``like``. Raises NotThere, CannotRead."""

    def close(self) -> None:
        """Let go of the worker's memory."""


class ProcessMemory:
    """The memory of a process on the CPU; ``process`` is its number."""

    def __init__(self, process: int) -> None:
        self._path = f"/proc/{process}/mem"

    def tensor(self, place: Place, like: torch.Tensor) -> torch.Tensor:
        """A copy."""
        count = math.prod(like.shape)
        copy = torch.empty(count, dtype=like.dtype)
        n_bytes = count * like.dtype.itemsize
        view = memoryview((ctypes.c_char * n_bytes).from_address(copy.data_ptr())) if n_bytes else memoryview(b"")
        try:
            descriptor = os.open(self._path, os.O_RDONLY)
        except PermissionError as error:
            raise CannotRead(f"the judge may not read a worker's memory here ({error.strerror})") from None
        try:
            done = 0
            while done < n_bytes:
                read = os.preadv(descriptor, [view[done:]], place.at + done)
                if read == 0:
                    raise NotThere(f"{n_bytes - done} bytes are missing")
                done += read
        except (OSError, OverflowError) as error:
            raise NotThere(str(error)) from None
        finally:
            os.close(descriptor)
        return copy.as_strided(like.shape, place.strides)

    def close(self) -> None:
        """Nothing is held."""
