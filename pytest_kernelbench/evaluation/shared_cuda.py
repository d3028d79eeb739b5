"""Tensors in device memory that judge and worker both see, through CUDA's own memory handles.

The judge allocates with cudaMalloc rather than from torch's pool: a handle opens a whole allocation, and a pool
would show the worker whatever else lies in the same block. torch's own sharing needs a writable /dev/shm, which the
sandbox does not give.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import torch

from pytest_kernelbench.errors import HarnessError

_LAZY_ENABLE_PEER_ACCESS = 1


class _Handle(ctypes.Structure):
    _fields_ = [("reserved", ctypes.c_ubyte * 64)]


class CudaMemory:
    """Device memory that two processes see; the judge frees it with the last tensor in it. ``name`` is its handle."""

    descriptor: int | None = None

    def __init__(self, pointer: int, name: str, size: int) -> None:
        self._pointer = pointer
        self.name = name
        self.bytes = torch.as_tensor(_Span(pointer, size), device="cuda")
        self._n_places = 0

    @classmethod
    def create(cls, size: int) -> CudaMemory:
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
        # What is read and was never written (the gaps of a slice) must not be what another process left there.
        _expect(runtime().cudaMemset(pointer, 0, ctypes.c_size_t(size)), "cudaMemset")
        assert pointer.value is not None
        return cls(pointer.value, bytes(handle.reserved).hex(), size)

    @classmethod
    @cache
    def opened(cls, name: str, size: int) -> CudaMemory:
        """The same memory in a worker, for as long as that lives."""
        raw, pointer = bytes.fromhex(name), ctypes.c_void_p()
        opened = _Handle()
        ctypes.memmove(ctypes.byref(opened), raw, len(raw))
        _expect(
            runtime().cudaIpcOpenMemHandle(ctypes.byref(pointer), opened, _LAZY_ENABLE_PEER_ACCESS),
            "cudaIpcOpenMemHandle",
        )
        assert pointer.value is not None
        return cls(pointer.value, name, size)

    def enter(self) -> None:
        """One more tensor lies in it."""
        self._n_places += 1

    def leave(self) -> None:
        """One tensor needs it no longer."""
        self._n_places -= 1
        if self._n_places == 0:
            torch.cuda.synchronize()
            _expect(runtime().cudaFree(ctypes.c_void_p(self._pointer)), "freeing shared device memory")


class _Span:
    def __init__(self, pointer: int, size: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (pointer, False),
            "version": 3,
            "strides": None,
        }


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
