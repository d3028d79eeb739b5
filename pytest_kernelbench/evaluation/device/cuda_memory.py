"""Tensors in device memory that judge and worker both see, through CUDA's own memory handles.

The judge allocates with cudaMalloc and not from torch's pool: a handle opens a whole allocation, and a block of the
pool has other tensors too. torch's own sharing needs a writable /dev/shm, which a sandbox does not have.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import torch

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.device.foreign import Exported, NotThere, Place

LAZY_ENABLE_PEER_ACCESS = 1


class Handle(ctypes.Structure):
    """The handle by which another process opens an allocation."""

    _fields_ = [("reserved", ctypes.c_ubyte * 64)]


class CudaMemory:
    """Device memory that two processes see; the judge frees it with the last tensor in it. ``name`` is its handle."""

    descriptor: int | None = None
    # Memory of the judge that this process has opened: a handle can be opened once.
    _opened: ClassVar[dict[str, CudaMemory]] = {}

    def __init__(self, pointer: int, name: str, size: int) -> None:
        self._pointer = pointer
        self.name = name
        self.bytes = torch.as_tensor(Span(pointer, size), device="cuda")
        self._n_places = 0

    @classmethod
    def create(cls, size: int) -> CudaMemory:
        """Allocate ``size`` zeroed bytes. Raises torch.OutOfMemoryError."""
        pointer = ctypes.c_void_p()
        status = runtime().cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size))
        if status != 0:
            # The runtime remembers a failure, and torch would report it at its next launch.
            runtime().cudaGetLastError()
            torch.cuda.empty_cache()
            status = runtime().cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size))
        if status != 0:
            runtime().cudaGetLastError()
            raise torch.OutOfMemoryError(f"no {size} bytes of device memory to share with a worker")
        handle = Handle()
        expect(runtime().cudaIpcGetMemHandle(ctypes.byref(handle), pointer), "cudaIpcGetMemHandle")
        # Memory that is read but never written (the gaps of a slice) must not have data of another process.
        expect(runtime().cudaMemset(pointer, 0, ctypes.c_size_t(size)), "cudaMemset")
        assert pointer.value is not None
        return cls(pointer.value, bytes(handle.reserved).hex(), size)

    @classmethod
    def opened(cls, name: str, size: int) -> CudaMemory:
        """The same memory in a worker, until ``close_opened``."""
        if name not in cls._opened:
            cls._opened[name] = cls._open(name, size)
        return cls._opened[name]

    @classmethod
    def close_opened(cls) -> None:
        """Close the handles of what was opened: the judge can then free it. No tensor in it may be left."""
        torch.cuda.synchronize()
        while cls._opened:
            _, memory = cls._opened.popitem()
            expect(runtime().cudaIpcCloseMemHandle(ctypes.c_void_p(memory._pointer)), "cudaIpcCloseMemHandle")

    @classmethod
    def _open(cls, name: str, size: int) -> CudaMemory:
        raw, pointer = bytes.fromhex(name), ctypes.c_void_p()
        opened = Handle()
        ctypes.memmove(ctypes.byref(opened), raw, len(raw))
        expect(
            runtime().cudaIpcOpenMemHandle(ctypes.byref(pointer), opened, LAZY_ENABLE_PEER_ACCESS),
            "cudaIpcOpenMemHandle",
        )
        assert pointer.value is not None
        return cls(pointer.value, name, size)

    def enter(self) -> None:
        """Count one more tensor in this memory."""
        self._n_places += 1

    def leave(self) -> None:
        """Count one tensor less; after the last one the memory is freed."""
        self._n_places -= 1
        if self._n_places == 0:
            torch.cuda.synchronize()
            expect(runtime().cudaFree(ctypes.c_void_p(self._pointer)), "cudaFree")


def range_of(pointer: int) -> tuple[int, int]:
    """Start and size of the allocation that contains an address of device memory."""
    base, size = ctypes.c_void_p(), ctypes.c_size_t()
    status = driver().cuMemGetAddressRange_v2(ctypes.byref(base), ctypes.byref(size), ctypes.c_void_p(pointer))
    expect(status, "cuMemGetAddressRange")
    return base.value or 0, size.value


class _Allocations:
    """Allocations of this process that another one can open; ``handles``: theirs, in the order they were found."""

    def __init__(self) -> None:
        self.handles: list[str] = []
        self._numbers: dict[int, int | None] = {}
        self._start = self._end = 0

    def place(self, address: int) -> tuple[int, int] | None:
        """Bytes from the start of the allocation, and the number of its handle; None: no other process can open it.

        The clock is running. torch has many tensors in one allocation, so the driver is asked only where it is not the
        last one.
        """
        if not self._start <= address < self._end:
            self._start, size = range_of(address)
            self._end = self._start + size
        if self._start not in self._numbers:
            self._numbers[self._start] = self._new_handle(self._start)
        number = self._numbers[self._start]
        return None if number is None else (address - self._start, number)

    def _new_handle(self, start: int) -> int | None:
        handle = Handle()
        if runtime().cudaIpcGetMemHandle(ctypes.byref(handle), ctypes.c_void_p(start)) != 0:
            # The runtime remembers a failure, and torch would report it at its next launch.
            runtime().cudaGetLastError()
            return None
        self.handles.append(bytes(handle.reserved).hex())
        return len(self.handles) - 1


def exported(tensors: Sequence[torch.Tensor]) -> Exported:
    """Where this process's tensors are: bytes from the start of an allocation, and its handle.

    Tensors in memory without a handle (a pool of the driver's) are copied.
    """
    allocations, told = _Allocations(), Exported([], [], [], [])
    for tensor in tensors:
        place = allocations.place(tensor.data_ptr()) if tensor.numel() else (0, 0)
        if place is None:
            tensor = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device).copy_(tensor)
            place = allocations.place(tensor.data_ptr())
            if place is None:
                raise RuntimeError("torch's memory cannot be shared with another process")
        told.tensors.append(tensor)
        told.at.append(place[0])
        told.handle.append(place[1])
    return told._replace(handles=allocations.handles or [""])


class CudaProcessMemory:
    """Device memory of another process, opened at the addresses of its outputs."""

    def __init__(self) -> None:
        # Address and bytes of each allocation, by its handle.
        self._opened: dict[str, tuple[int, torch.Tensor]] = {}

    def tensor(self, place: Place, like: torch.Tensor) -> torch.Tensor:
        """A copy of the memory. Raises NotThere."""
        if like.numel() == 0:
            return torch.empty(like.shape, dtype=like.dtype, device="cuda")
        whole = self._whole(place.handle)
        n_bytes = like.numel() * like.dtype.itemsize
        # A kernel that read beyond, or from between two elements, would end the judge's context.
        if place.at + n_bytes > whole.numel() or place.at % like.dtype.itemsize:
            raise NotThere(f"{n_bytes} bytes at {place.at} of {whole.numel()}")
        there = whole[place.at : place.at + n_bytes].view(like.dtype)
        return there.as_strided(like.shape, place.strides).clone()

    def close(self) -> None:
        """Give the memory back, which is freed once its own process lets go of it too."""
        while self._opened:
            pointer, _ = self._opened.popitem()[1]
            runtime().cudaIpcCloseMemHandle(ctypes.c_void_p(pointer))

    def _whole(self, handle: str) -> torch.Tensor:
        if handle not in self._opened:
            opened, pointer = Handle(), ctypes.c_void_p()
            if not re.fullmatch(f"[0-9a-f]{{{2 * ctypes.sizeof(opened)}}}", handle):
                raise NotThere("no handle of an allocation")
            ctypes.memmove(ctypes.byref(opened), bytes.fromhex(handle), ctypes.sizeof(opened))
            status = runtime().cudaIpcOpenMemHandle(ctypes.byref(pointer), opened, LAZY_ENABLE_PEER_ACCESS)
            if status != 0 or pointer.value is None:
                runtime().cudaGetLastError()
                raise NotThere(f"CUDA error {status}")
            span = Span(pointer.value, range_of(pointer.value)[1])
            self._opened[handle] = pointer.value, torch.as_tensor(span, device="cuda")
        return self._opened[handle][1]


class Span:
    """Bytes of device memory, as torch takes them."""

    def __init__(self, pointer: int, size: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (pointer, False),
            "version": 3,
            "strides": None,
        }


def release_persisting_l2() -> None:
    """Have a GPU treat lines of its L2 that were asked to persist like any others."""
    runtime().cudaCtxResetPersistingL2Cache()


@cache
def driver() -> ctypes.CDLL:
    """The CUDA driver."""
    return ctypes.CDLL("libcuda.so.1")


@cache
def runtime() -> ctypes.CDLL:
    """The CUDA runtime that torch itself has loaded: another copy would have a context of its own."""
    torch.cuda.init()
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.rpartition(" ")[2]
        if "libcudart" in path:
            library = ctypes.CDLL(path)
            library.cudaIpcOpenMemHandle.argtypes = [ctypes.c_void_p, Handle, ctypes.c_uint]
            return library
    raise HarnessError("shared device memory: this process has loaded no libcudart; install a CUDA build of torch")


def expect(status: int, doing: str) -> None:
    """Raises HarnessError if ``status``, returned by a call of CUDA, is an error; ``doing`` names the call."""
    if status != 0:
        raise HarnessError(
            f"shared device memory: {doing} failed with CUDA error {status}; free memory on the device and run again"
        )
