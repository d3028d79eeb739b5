"""Tensors that judge and worker both see, without a copy and without pickling."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch

from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.layouts import ALIGNMENT, Layout


class Memory(Protocol):
    """Memory that both processes see, as ``bytes`` of type uint8.

    ``name`` is unique among the memories that a worker maps. ``descriptor``: a file descriptor that a worker needs to
    map it, sent with the message; None on a GPU. ``enter`` and ``leave`` count the tensors in it; without any it is
    freed.
    """

    name: str
    bytes: torch.Tensor
    descriptor: int | None

    def enter(self) -> None: ...
    def leave(self) -> None: ...


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
        """In the judge: give up this tensor's part of the memory, which is freed with the last tensor in it."""
        self.memory.leave()


def create(layouts: Sequence[Layout], device: str) -> list[Place]:
    """Places for tensors of these layouts, in one allocation: a GPU's driver takes a millisecond for each."""
    offsets = [0, *itertools.accumulate(-(-each.n_bytes // ALIGNMENT) * ALIGNMENT for each in layouts)]
    size = max(ALIGNMENT, offsets.pop())
    memory = device_named(device).new_memory(size)
    return [Place(memory, offset, layout) for offset, layout in zip(offsets, layouts, strict=True)]


def describe_memory(memory: Memory) -> dict[str, Any]:
    """The description from which a worker maps the memory."""
    return {"name": memory.name, "size": memory.bytes.numel()}


def attach_memory(description: Mapping[str, Any], descriptors: Any, device: str) -> Memory:
    """In a worker: map memory of the judge. ``descriptors``: an iterator, in the order of the descriptions."""
    return device_named(device).map_memory(description["name"], description["size"], descriptors)


def attach_place(description: Mapping[str, Any], memories: Mapping[str, Memory]) -> Place:
    """In a worker: a tensor of the judge, in one of the mapped ``memories`` (by name)."""
    return Place(memories[description["memory"]], description["offset"], Layout.from_json(description["layout"]))
