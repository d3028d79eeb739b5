"""Where a worker has the outputs of a turn's calls, from its own answer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from pytest_kernelbench.evaluation.boundary.answers import Kept
from pytest_kernelbench.evaluation.boundary.messages import MalformedFrame
from pytest_kernelbench.evaluation.device.foreign import Place
from pytest_kernelbench.evaluation.layouts import is_dense


def places_of(answer: Kept, outputs: Sequence[torch.Tensor], calls: int) -> list[list[Place]]:
    """The places of each call's outputs, which are like ``outputs``. Raises MalformedFrame."""
    if not len(answer.at) == len(answer.handle) == len(outputs) * calls:
        raise MalformedFrame(f"calls: at: expected {len(outputs) * calls}")
    if max(answer.handle, default=-1) >= len(answer.handles):
        raise MalformedFrame(f"calls: handle: expected numbers below {len(answer.handles)}")
    if len(answer.strides) != calls * sum(output.dim() for output in outputs):
        raise MalformedFrame("calls: strides: wrong number")
    strides = iter(answer.strides)
    told = zip(answer.at, answer.handle, strict=True)
    # Mostly the same for all calls, of which there are hundreds.
    dense: set[tuple[torch.Size, tuple[int, ...]]] = set()
    places: list[list[Place]] = []
    for _ in range(calls):
        places.append([])
        for output, (at, number) in zip(outputs, told, strict=False):
            own = tuple(itertools.islice(strides, output.dim()))
            if (output.shape, own) not in dense:
                if not is_dense(output.shape, own):
                    raise MalformedFrame("calls: strides: not of a tensor with an element for each number")
                dense.add((output.shape, own))
            places[-1].append(Place(at, own, answer.handles[number]))
    return places
