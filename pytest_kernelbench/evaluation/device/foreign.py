"""Reads outputs in a worker's own memory while the worker is stopped.

A worker that sent its outputs could compute them after the clock has stopped. So it sends only their addresses, with
its answer that all calls are done; it is stopped at once, and the judge reads its memory.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch


class Place(NamedTuple):
    """Where a worker says that an output is: the address ``at``, and strides in elements.

    On a GPU ``at`` counts in bytes from the start of the allocation with this ``handle``.
    """

    at: int
    strides: tuple[int, ...]
    handle: str = ""


class Exported(NamedTuple):
    """Where outputs are, by a worker: ``handle`` says which of the ``handles`` belongs to the allocation of each.

    ``tensors``: the outputs, to be kept; copies of those in memory that no other process can read.
    """

    tensors: list[torch.Tensor]
    at: list[int]
    handle: list[int]
    handles: list[str]


class NotThere(Exception):
    """There is no memory at the place that a worker gave for an output."""


class CannotRead(Exception):
    """This machine does not let the judge read a worker's memory."""


class Memory(Protocol):
    """A worker's memory, as the judge reads it."""

    def tensor(self, place: Place, like: torch.Tensor) -> torch.Tensor:
        """The memory's present content as a tensor with shape and type of ``like``. Raises NotThere, CannotRead."""

    def close(self) -> None:
        """Let go of the worker's memory."""
