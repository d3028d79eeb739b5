"""Processes that train one model together: each takes its share of the micro-batches, and gradients are added up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

T = TypeVar("T")


class Ranks(Protocol):
    """The processes that train together: their number, and the exchange of values between them."""

    def share(self, batches: Sequence[T]) -> list[tuple[T, float]]:
        """The batches of this process, each with its weight. Every process has equally many; some have weight 0."""
        ...

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Make every parameter's gradient the sum over all processes."""
        ...

    def gathered(self, value: T) -> list[T]:
        """``value`` of each process, in order of rank."""
        ...


class OneProcess:
    """A single process: it has all batches and exchanges nothing."""

    def share(self, batches: Sequence[T]) -> list[tuple[T, float]]:
        return [(batch, 1.0) for batch in batches]

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        pass

    def gathered(self, value: T) -> list[T]:
        return [value]


class ProcessGroup:
    """The processes of torch's default group, each with its own copy of the parameters that are trained."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def share(self, batches: Sequence[T]) -> list[tuple[T, float]]:
        """This process's batches, each with its weight; a process with fewer repeats a batch at weight 0.

        All processes must gather a layer together.
        """
        rounds = -(-len(batches) // self.size)
        places = [turn * self.size + self.rank for turn in range(rounds)]
        return [(batches[place], 1.0) if place < len(batches) else (batches[-1], 0.0) for place in places]

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        trained = list(parameters)
        for each in trained:
            if each.grad is None:  # an expert that no token of this process went to
                each.grad = torch.zeros_like(each)
        # One message: an adapter is some hundred small tensors, and each message has its latency.
        flat = torch.cat([each.grad.flatten() for each in trained if each.grad is not None])
        dist.all_reduce(flat)
        start = 0
        for each in trained:
            if each.grad is not None:
                end = start + each.grad.numel()
                each.grad.copy_(flat[start:end].view_as(each.grad))
                start = end

    def gathered(self, value: T) -> list[T]:
        found: list[T | None] = [None] * self.size
        dist.all_gather_object(found, value)
        return [each for each in found if each is not None]
