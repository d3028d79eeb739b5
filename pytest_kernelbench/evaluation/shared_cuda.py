"""Tensors in device memory that judge and worker both see, through CUDA's own memory handles.

The judge allocates with cudaMalloc rather than from torch's pool: a handle opens a whole allocation, and a pool
would show the worker whatever else lies in the same block. torch's own sharing needs a writable /dev/shm,
which the sandbox does not give.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from pytest_kernelbench.errors import HarnessError

_LAZY_ENABLE_PEER_ACCESS = 1


class _Handle(ctypes.Structure):
    _fields_ = [("reserved", ctypes.c_ubyte * 64)]


class CudaSharedTensor:
    """A contiguous tensor over memory of its own; what one process writes, the other reads."""

    descriptor: int | None = None

    def __init__(self, pointer: int, shape: tuple[int, ...], dtype: torch.dtype, handle: bytes, *, mine: bool) -> None:
        self._pointer = pointer
        self._handle = handle
        self._mine = mine
        self.tensor = _tensor_at(pointer, shape, dtype)

    @classmethod
    def create(cls, shape: tuple[int, ...], dtype: torch.dtype) -> CudaSharedTensor:
        """Device memory for a tensor. Raises torch.OutOfMemoryError when there is not enough."""
        pointer = ctypes.c_void_p()
        size = max(1, math.prod(shape) * dtype.itemsize)
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
        return cls(pointer.value, shape, dtype, bytes(handle.reserved), mine=True)

    @classmethod
    def attach(cls, description: Mapping[str, Any]) -> CudaSharedTensor:
        """The same memory in the worker."""
        handle = _Handle()
        raw = bytes.fromhex(description["handle"])
        ctypes.memmove(ctypes.byref(handle), raw, len(raw))
        pointer = ctypes.c_void_p()
        _expect(
            runtime().cudaIpcOpenMemHandle(ctypes.byref(pointer), handle, _LAZY_ENABLE_PEER_ACCESS),
            "cudaIpcOpenMemHandle",
        )
        assert pointer.value is not None
        shape, dtype = tuple(description["shape"]), getattr(torch, description["dtype"])
        return cls(pointer.value, shape, dtype, raw, mine=False)

    def describe(self) -> dict[str, Any]:
        dtype = str(self.tensor.dtype).removeprefix("torch.")
        return {"shape": list(self.tensor.shape), "dtype": dtype, "handle": self._handle.hex()}

    def close(self) -> None:
        """Free the memory (the judge) or let go of it (a worker)."""
        torch.cuda.synchronize()
        free = runtime().cudaFree if self._mine else runtime().cudaIpcCloseMemHandle
        _expect(free(ctypes.c_void_p(self._pointer)), "freeing shared device memory")


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
