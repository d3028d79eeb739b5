"""Tensors that judge and worker both see, without a copy and without pickling."""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch

from pytest_kernelbench.evaluation.layouts import ALIGNMENT, Layout

_numbers = itertools.count()


class Memory(Protocol):
    """Memory that both processes see, as ``bytes`` of type uint8.

    ``name`` is its own among all that a worker maps; ``descriptor`` travels beside the message, if it needs one.
    """

    name: str
    bytes: torch.Tensor
    descriptor: int | None

    def enter(self) -> None: ...
    def leave(self) -> None: ...


class SharedMemory:
    """A CPU's memory that two processes see: the judge makes it, its descriptor travels beside a message.

    Only the judge creates memory and only the judge's own mapping is ever read back, so a worker cannot hand
    over anything but the bytes of tensors whose shapes and types the judge chose.
    """

    def __init__(self, name: str, descriptor: int, size: int) -> None:
        self.name = name
        self.descriptor: int | None = descriptor
        self.bytes = torch.frombuffer(mmap.mmap(descriptor, size), dtype=torch.uint8)
        self._n_places = 0

    @classmethod
    def create(cls, size: int) -> SharedMemory:
        """So many zeroed bytes, at least one."""
        descriptor = os.memfd_create("kernelbench", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, size)
        # A worker that cut it short would end the judge, at its next look.
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return cls(f"memory {next(_numbers)}", descriptor, size)

    @classmethod
    def attach(cls, name: str, descriptor: int, size: int) -> SharedMemory:
        """The other side of ``create``."""
        attached = cls(name, descriptor, size)
        os.close(descriptor)
        return attached

    def enter(self) -> None:
        """One more tensor lies in it."""
        self._n_places += 1

    def leave(self) -> None:
        """One tensor needs it no longer. With the last of them the descriptor is given back, and so is the memory."""
        self._n_places -= 1
        if self._n_places == 0 and self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


class Place:
    """A tensor in memory that both processes see. ``core`` holds each of its elements once, and may be written to."""

    def __init__(self, memory: Memory, offset: int, layout: Layout) -> None:
        self.memory = memory
        self.layout = layout
        self._offset = offset
        self.tensor = layout.over(memory.bytes[offset:])
        self.core = layout.core(self.tensor)
        memory.enter()

    def describe(self) -> dict[str, Any]:
        return {"memory": self.memory.name, "offset": self._offset, "layout": self.layout.to_json()}

    def close(self) -> None:
        """Let go of the memory (the judge)."""
        self.memory.leave()


def create(layouts: Sequence[Layout], device: str) -> list[Place]:
    """Places for tensors of these layouts, all in one piece of memory: a GPU's driver needs a millisecond for each."""
    offsets = [0, *itertools.accumulate(-(-each.n_bytes // ALIGNMENT) * ALIGNMENT for each in layouts)]
    size = max(ALIGNMENT, offsets.pop())
    memory: Memory
    if device == "cuda":
        from pytest_kernelbench.evaluation.device.shared_cuda import CudaMemory

        memory = CudaMemory.create(size)
    else:
        memory = SharedMemory.create(size)
    return [Place(memory, offset, layout) for offset, layout in zip(offsets, layouts, strict=True)]


def describe_memory(memory: Memory) -> dict[str, Any]:
    """For a worker that is to map it."""
    return {"name": memory.name, "size": memory.bytes.numel()}


def attach_memory(description: Mapping[str, Any], descriptors: Any, device: str) -> Memory:
    """Memory of the judge's as a worker sees it; ``descriptors`` come in the order of the descriptions."""
    if device == "cuda":
        from pytest_kernelbench.evaluation.device.shared_cuda import CudaMemory

        return CudaMemory.opened(description["name"], description["size"])
    return SharedMemory.attach(description["name"], next(descriptors), description["size"])


def attach_place(description: Mapping[str, Any], memories: Mapping[str, Memory]) -> Place:
    """A tensor of the judge's as a worker sees it."""
    return Place(memories[description["memory"]], description["offset"], Layout.from_json(description["layout"]))


def release_persisting_l2() -> None:
    """Have a GPU treat lines of its L2 that were asked to persist like any others."""
    from pytest_kernelbench.evaluation.device.shared_cuda import runtime

    runtime().cudaCtxResetPersistingL2Cache()


def exported(tensors: Sequence[torch.Tensor], device: str) -> tuple[list[torch.Tensor], list[tuple[int, str]]]:
    """Where tensors of this process are, for another to read them: an address each, and on a GPU a handle.

    With them the tensors, some of them copied where no other process could see them.
    """
    if device == "cuda":
        from pytest_kernelbench.evaluation.device import shared_cuda

        return shared_cuda.exported(tensors)
    return list(tensors), [(tensor.data_ptr(), "") for tensor in tensors]
