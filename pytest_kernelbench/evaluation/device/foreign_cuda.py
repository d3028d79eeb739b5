"""Outputs on a GPU, read where the process that computed them has them: see ``foreign``."""

from __future__ import annotations

import ctypes
import re

import torch

from pytest_kernelbench.evaluation.device.foreign import NotThere, Place
from pytest_kernelbench.evaluation.device.shared_cuda import LAZY_ENABLE_PEER_ACCESS, Handle, Span, range_of, runtime


class CudaProcessMemory:
    """Device memory of another process, opened where it says that it has outputs."""

    def __init__(self) -> None:
        self._opened: dict[str, int] = {}

    def tensor(self, place: Place, like: torch.Tensor) -> torch.Tensor:
        """A copy of what is there. Raises NotThere."""
        if like.numel() == 0:
            return torch.empty(like.shape, dtype=like.dtype, device="cuda")
        pointer = self._pointer(place.handle)
        _, size = range_of(pointer)
        n_bytes = like.numel() * like.dtype.itemsize
        # A kernel that read beyond, or from between two elements, would end the judge's context.
        if place.at + n_bytes > size or place.at % like.dtype.itemsize:
            raise NotThere(f"{n_bytes} bytes at {place.at} of {size}")
        there = torch.as_tensor(Span(pointer + place.at, n_bytes), device="cuda").view(like.dtype)
        return there.as_strided(like.shape, place.strides).clone()

    def close(self) -> None:
        """Give the memory back, which is freed once its own process lets go of it too."""
        while self._opened:
            runtime().cudaIpcCloseMemHandle(ctypes.c_void_p(self._opened.popitem()[1]))

    def _pointer(self, handle: str) -> int:
        if handle not in self._opened:
            opened, pointer = Handle(), ctypes.c_void_p()
            if not re.fullmatch(f"[0-9a-f]{{{2 * ctypes.sizeof(opened)}}}", handle):
                raise NotThere("no handle of an allocation")
            ctypes.memmove(ctypes.byref(opened), bytes.fromhex(handle), ctypes.sizeof(opened))
            status = runtime().cudaIpcOpenMemHandle(ctypes.byref(pointer), opened, LAZY_ENABLE_PEER_ACCESS)
            if status != 0 or pointer.value is None:
                runtime().cudaGetLastError()
                raise NotThere(f"CUDA error {status}")
            self._opened[handle] = pointer.value
        return self._opened[handle]
