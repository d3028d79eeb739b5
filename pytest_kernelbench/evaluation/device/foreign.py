"""Reads outputs in a worker's own memory while the worker is stopped.

If a worker sent its outputs, it could compute them after the clock has stopped. So it sends only their addresses, with
the answer that all calls are done; it is stopped at once, and the judge reads its memory.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch


class Place(NamedTuple):
    """Place of an output by a worker. ``handle``: of the allocation on a GPU, from whose start ``at`` counts."""

    at: int
    strides: tuple[int, ...]
    handle: str = ""


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
