"""A CPU, and the host's memory: see ``Device``."""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import math
import mmap
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_kernelbench.evaluation.device.foreign import CannotRead, Exported, NotThere, Place
from pytest_kernelbench.evaluation.device.host import to_first_core
from pytest_kernelbench.evaluation.sandbox import cgroup

_numbers = itertools.count()
_HUGE_PAGE = 2 << 20
_MAP_FIXED, _MADV_COLLAPSE = 0x10, 25


def cores() -> int:
    """Whole cores that this process may use; in a container, no more than its CPU quota allows."""
    allowed, quota = len(os.sched_getaffinity(0)), cgroup.cores()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def threads() -> int:
    """One for each core."""
    return cores()


def describe() -> dict[str, Any]:
    """Name, cores and torch; all CPUs have the same ``id``, because a host has one."""
    return {"id": "cpu", "name": _cpu_name(), "cores": cores(), "torch": torch.__version__}


def gpu_file() -> None:
    """There is no GPU."""


class NoClocks:
    """A CPU's clocks are not read."""

    def read(self) -> None:
        """Nothing to read."""

    def summary(self) -> None:
        """Nothing was read."""


def clocks() -> NoClocks:
    """Clocks that are never read."""
    return NoClocks()


def free_bytes() -> int:
    """Memory that can be taken now."""
    return cgroup.machine_memory_bytes().free


def held_bytes() -> int:
    """torch keeps nothing for later."""
    return 0


def obtainable_bytes() -> int:
    """The free memory."""
    return free_bytes()


def unused_bytes() -> int:
    """torch keeps nothing for later."""
    return 0


def hold_for(sizes: Sequence[int]) -> None:
    """torch keeps nothing for later."""


def memory_bytes() -> int:
    """Memory that this process may use; in a container, its limit."""
    return cgroup.machine_memory_bytes().whole


def bytes_of_others() -> int:
    """All memory in use."""
    return memory_bytes() - free_bytes()


def leave_room(wanted_bytes: int | None = None, *, for_long: bool = False) -> None:
    """torch keeps nothing for later."""


def architecture() -> str:
    """Nothing is compiled for a GPU."""
    return ""


def gpu_properties() -> None:
    """There is no GPU."""


def warm_up() -> None:
    """On a CPU the first work is as fast as later work."""


def settle() -> None:
    """A call has ended when it returns."""


def works() -> bool:
    """Always true on a CPU."""
    return True


def wait_until_idle(within_s: float) -> None:
    """Returns at once: a stopped process runs nothing on a CPU."""


def milliseconds(work: Callable[[], object]) -> float:
    """Wall time of ``work``, begun where OpenMP's other threads are not."""
    to_first_core(frozenset(os.sched_getaffinity(0)))
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def new_memory(size: int) -> SharedMemory:
    """So many zeroed bytes, at least one."""
    return SharedMemory.create(size)


def map_memory(name: str, size: int, descriptors: Iterator[int]) -> SharedMemory:
    """The other side of ``new_memory``; takes one descriptor."""
    return SharedMemory.attach(name, next(descriptors), size)


def unmap_memory() -> None:
    """Memory is unmapped with the last tensor in it."""


def exported(tensors: Sequence[torch.Tensor]) -> Exported:
    """The tensors and their addresses; all are read without a handle."""
    return Exported(list(tensors), [tensor.data_ptr() for tensor in tensors], [0] * len(tensors), [""])


def memory_of(process: int) -> ProcessMemory:
    """The memory of a process, by its number."""
    return ProcessMemory(process)


class SharedMemory:
    """A CPU's memory that two processes map: the judge creates it and sends its descriptor with a message.

    Only the judge creates memory, and only the judge's own mapping is read back, so a worker can only write bytes of
    tensors whose shapes and types the judge chose.
    """

    def __init__(self, name: str, descriptor: int, size: int, *, flags: int = mmap.MAP_SHARED) -> None:
        self.name = name
        self.descriptor: int | None = descriptor
        self.bytes = _mapped(descriptor, size, flags)
        self._n_places = 0

    @classmethod
    def create(cls, size: int) -> SharedMemory:
        """So many zeroed bytes, at least one."""
        descriptor = os.memfd_create("kernelbench", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, size)
        # Sealed, because a worker that truncated it would end the judge at its next read.
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        created = cls(f"memory {next(_numbers)}", descriptor, size)
        if size >= _HUGE_PAGE:
            _move_into_huge_pages(created.bytes)
        return created

    @classmethod
    def attach(cls, name: str, descriptor: int, size: int) -> SharedMemory:
        """The other side of ``create``, with all pages mapped at once.

        Mapped at their first use, the 110,000 pages of a task's slots took a worker longer than its calls, and pages of
        inputs would be mapped within timed calls.
        """
        attached = cls(name, descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        os.close(descriptor)
        return attached

    def enter(self) -> None:
        """Count one more tensor in this memory."""
        self._n_places += 1

    def leave(self) -> None:
        """Count one tensor less. After the last one the descriptor is closed, which frees the memory."""
        self._n_places -= 1
        if self._n_places == 0 and self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _mapped(descriptor: int, size: int, flags: int) -> torch.Tensor:
    """The bytes of a file in memory, from the boundary of a huge page on, as huge pages need it.

    What is reserved around them is never touched, and unmapped together with them.
    """
    reserved = mmap.mmap(-1, size + _HUGE_PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    offset = -ctypes.addressof(ctypes.c_char.from_buffer(reserved)) % _HUGE_PAGE
    memory = torch.frombuffer(reserved, dtype=torch.uint8, count=size, offset=offset)
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    library.mmap.restype = ctypes.c_void_p
    at, access = memory.data_ptr(), mmap.PROT_READ | mmap.PROT_WRITE
    if library.mmap(at, size, access, flags | _MAP_FIXED, descriptor, 0) != at:
        raise OSError(ctypes.get_errno(), f"{size} bytes of shared memory cannot be mapped")
    return memory


def _move_into_huge_pages(memory: torch.Tensor) -> None:
    """Where the kernel can do it (Linux 6.1): each worker then maps one page in place of 512."""
    # Only pages that are there are moved.
    memory.zero_()
    ctypes.CDLL(None).madvise(ctypes.c_void_p(memory.data_ptr()), ctypes.c_size_t(memory.numel()), _MADV_COLLAPSE)


class ProcessMemory:
    """The memory of a process on the CPU; ``process`` is its number."""

    def __init__(self, process: int) -> None:
        self._path = f"/proc/{process}/mem"

    def tensor(self, place: Place, like: torch.Tensor) -> torch.Tensor:
        """A copy of the memory. Raises NotThere, and CannotRead where the judge may not read the process's memory."""
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


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
