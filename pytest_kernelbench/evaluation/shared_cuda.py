"""Tensors in device memory that judge and worker both see, through CUDA's own memory handles.

The judge allocates with cudaMalloc rather than from torch's pool: a handle opens a whole allocation, and a pool
would show the worker whatever else lies in the same block. torch's own sharing needs a writable /dev/shm, which the
sandbox does not give.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch

from pytest_kernelbench.errors import HarnessError

_LAZY_ENABLE_PEER_ACCESS = 1
# As cudaMalloc aligns.
ALIGNMENT = 512


class _Handle(ctypes.Structure):
    _fields_ = [("reserved", ctypes.c_ubyte * 64)]


class _Allocation:
    """Device memory that tensors share; it is freed with the last of them."""

    def __init__(self, pointer: int, handle: bytes) -> None:
        self.pointer = pointer
        self.handle = handle
        self.n_tensors = 0

    @classmethod
    def create(cls, size: int) -> _Allocation:
        """Raises torch.OutOfMemoryError when there is not enough."""
        pointer = ctypes.c_void_p()
        status = runtime().cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size))
        if status != 0:
            # The runtime remembers the failure, and torch would report it at its next launch.
            runtime().cudaGetLastError()
            torch.cuda.empty_cache()
            status = runtime().cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size))
        if status != 0:
            runtime().cudaGetLastError()
            raise torch.OutOfMemoryError(f"no {size} bytes of device memory to share with a worker")
        handle = _Handle()
        _expect(runtime().cudaIpcGetMemHandle(ctypes.byref(handle), pointer), "cudaIpcGetMemHandle")
        assert pointer.value is not None
        return cls(pointer.value, bytes(handle.reserved))

    @classmethod
    @cache
    def opened(cls, handle: str) -> _Allocation:
        """The same memory in a worker, for as long as that lives."""
        raw, pointer = bytes.fromhex(handle), ctypes.c_void_p()
        opened = _Handle()
        ctypes.memmove(ctypes.byref(opened), raw, len(raw))
        _expect(
            runtime().cudaIpcOpenMemHandle(ctypes.byref(pointer), opened, _LAZY_ENABLE_PEER_ACCESS),
            "cudaIpcOpenMemHandle",
        )
        assert pointer.value is not None
        return cls(pointer.value, raw)

    def leave(self) -> None:
        """One tensor needs it no longer."""
        self.n_tensors -= 1
        if self.n_tensors == 0:
            torch.cuda.synchronize()
            _expect(runtime().cudaFree(ctypes.c_void_p(self.pointer)), "freeing shared device memory")


class CudaSharedTensor:
    """A contiguous tensor that two processes see; what one writes, the other reads.

    Many share one allocation: to make, to open and to free one the driver needs a millisecond, and several while
    another GPU of the host is at work (H100).
    """

    descriptor: int | None = None

    def __init__(self, allocation: _Allocation, offset: int, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self._allocation = allocation
        self._offset = offset
        self.tensor = _tensor_at(allocation.pointer + offset, shape, dtype)
        allocation.n_tensors += 1

    @classmethod
    def create(cls, like: Sequence[torch.Tensor]) -> list[CudaSharedTensor]:
        """Device memory for tensors of these shapes and types. Raises torch.OutOfMemoryError where it is not there."""
        sizes = [math.ceil(each.numel() * each.dtype.itemsize / ALIGNMENT) * ALIGNMENT for each in like]
        *offsets, size = accumulate(sizes, initial=0)
        allocation = _Allocation.create(max(ALIGNMENT, size))
        return [
            cls(allocation, offset, tuple(each.shape), each.dtype) for offset, each in zip(offsets, like, strict=True)
        ]

    @classmethod
    def attach(cls, description: Mapping[str, Any]) -> CudaSharedTensor:
        """The same memory in the worker."""
        shape, dtype = tuple(description["shape"]), getattr(torch, description["dtype"])
        return cls(_Allocation.opened(description["handle"]), description["offset"], shape, dtype)

    def describe(self) -> dict[str, Any]:
        dtype = str(self.tensor.dtype).removeprefix("torch.")
        shape = list(self.tensor.shape)
        return {"shape": shape, "dtype": dtype, "handle": self._allocation.handle.hex(), "offset": self._offset}

    def close(self) -> None:
        """Let go of the memory (the judge)."""
        self._allocation.leave()


class _Span:
    def __init__(self, pointer: int, size: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (pointer, False),
            "version": 3,
            "strides": None,
        }


def _tensor_at(pointer: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=dtype, device="cuda")
    raw = torch.as_tensor(_Span(pointer, count * dtype.itemsize), device="cuda")
    return raw.view(dtype).view(shape)


@cache
def runtime() -> ctypes.CDLL:
    """The CUDA runtime that torch itself has loaded: another copy would have a context of its own."""
    torch.cuda.init()
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.rpartition(" ")[2]
        if "libcudart" in path:
            library = ctypes.CDLL(path)
            library.cudaIpcOpenMemHandle.argtypes = [ctypes.c_void_p, _Handle, ctypes.c_uint]
            return library
    raise HarnessError("no libcudart in this process; is this a CUDA build of torch?")


def _expect(status: int, doing: str) -> None:
    if status != 0:
        raise HarnessError(f"{doing} failed with CUDA error {status}; is the device's memory full?")
