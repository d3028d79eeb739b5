"""Inputs to check a candidate on: the task's own draw, changed to a kind of ``domain.py``, and refreshed for timing.

Labels, masks and indices are never changed: see ``is_signal``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from pytest_kernelbench.evaluation.correctness import domain
from pytest_kernelbench.evaluation.correctness.domain import Level
from pytest_kernelbench.evaluation.device.traits import torch_name, traits_of
from pytest_kernelbench.evaluation.modules import seed_torch
from pytest_kernelbench.evaluation.precision import PRECISIONS, Precision

# So many elements are looked at before the others: one of them mostly has a fraction.
FIRST = 1 << 12


def draw(
    get_inputs: Callable[[], Sequence[Any]],
    kinds: Sequence[Level] = (),
    *,
    seed: int,
    device: str,
    others: Sequence[Any] = (),
    precision: Precision = PRECISIONS["float32"],
) -> list[Any]:
    """One set of inputs, contiguous, on ``device``; the same seed gives the same values.

    No ``kinds``: the task's own draw. ``others`` were drawn before and must stay as they are: a task may hand out the
    same tensor again and again.
    """
    seed_torch(seed)
    with torch.device(torch_name(device)), torch.no_grad():
        inputs = [value.contiguous() if isinstance(value, torch.Tensor) else value for value in get_inputs()]
        # What is a signal is decided before the precision is lost: rounded to bfloat16, many a value is whole.
        signals = [is_signal(value) for value in inputs] if kinds else []
        inputs = precision.cast(inputs)
        rows = next((len(value) for value in inputs if isinstance(value, torch.Tensor) and value.dim()), None)
        taken = {other.data_ptr() for other in others if isinstance(other, torch.Tensor)}
        for number, _ in filter(lambda each: each[1], enumerate(signals)):
            value = inputs[number]
            if len(kinds) > 1 and not (value.dim() and len(value) == rows):
                # All rows of the batch share this input, so it cannot be of several kinds at once.
                continue
            shared = value.data_ptr() in taken
            taken.add(value.data_ptr())
            inputs[number] = domain.change(value.clone() if shared else value, kinds)
        return inputs


def factors(*, seed: int, signed: bool, device: str) -> torch.Tensor:
    """Secret factors for ``vary``: their magnitude is in [0.5, 1), half of them are negative if ``signed``."""
    seed_torch(seed)
    traits = traits_of(device)
    magnitude = 0.5 + 0.5 * torch.rand(2 * traits.n_factors, device=traits.torch_name)
    return domain.signed(magnitude) if signed else magnitude


def vary(value: torch.Tensor, key: int, pool: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """``value`` with a factor of its own on each element, into ``out``; the same key gives the same values.

    Not one factor for all elements: a linear operator's old answer times the factor would be the new answer. On a
    square matrix each factor is a row's times a column's, so that a symmetric matrix stays symmetric.
    """
    flat, target = value.view(-1), out.view(-1)
    row = row_of_factors(value, key, pool)
    if row is not None:
        # A turn of short calls has hundreds of small tensors: 4 us each in place of 6 (one core of an AMD EPYC).
        torch.mul(flat, row, out=target)
        return out
    most, count = pool.numel() // 2, value.numel()
    key = _next_key(key)
    start = _place(key, most)
    if value.dim() == 2 and value.shape[0] == value.shape[1] <= most:
        line = pool[start : start + value.shape[0]]
        # The factors first: row times column is rounded alike on both sides of the diagonal.
        return torch.mul(line[:, None], line, out=out).mul_(value)
    for begin in range(0, count, most):
        part = flat[begin : begin + most]
        torch.mul(part, pool[start : start + part.numel()], out=target[begin : begin + most])
        key = _next_key(key)
        start = _place(key, most)
    return out


def row_of_factors(value: torch.Tensor, key: int, pool: torch.Tensor) -> torch.Tensor | None:
    """The factor of each element of ``value`` in ``vary``, in their order; None where they are no one part of the pool.

    That is of a square matrix, and where there are more elements than half of the pool.
    """
    most, count = pool.numel() // 2, value.numel()
    if count > most or (value.dim() == 2 and value.shape[0] == value.shape[1]):
        return None
    start = _place(_next_key(key), most)
    return pool[start : start + count]


def _place(key: int, most: int) -> int:
    """A place under ``most``, from the upper half of a key's 63 bits."""
    return (key >> 31) % most


def _next_key(key: int) -> int:
    """The next key of a linear congruential generator (Knuth's MMIX); the first key is a secret, so all of them are."""
    return (key * 6364136223846793005 + 1442695040888963407) & (1 << 63) - 1


def is_signal(value: Any) -> bool:
    """Whether a value may be changed: floats, but not labels or masks (a hinge loss has targets -1.0 and 1.0)."""
    return (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.numel() > 0
        and not all(bool((part == part.round()).all()) for part in (value.view(-1)[:FIRST], *domain.parts(value)))
    )
