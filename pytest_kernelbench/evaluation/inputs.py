"""Inputs to check a candidate on: the task's own draw, and two kinds that its author did not think of.

The task's draw alone lets wrong kernels pass: ``torch.rand`` is never negative, so the identity is a ReLU.
``signed`` flips signs at random; ``scaled`` multiplies by a constant. Both keep what a kernel may rely on: zeros
stay zeros (a triangular matrix stays triangular), a symmetric matrix stays symmetric, labels stay labels.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch

# An input may take 17 GB, and as much again is not there.
ELEMENTS_AT_ONCE = 1 << 28
# A GPU gets more: it multiplies 16 million in the time that a launch takes.
FACTORS = {"cpu": 1 << 20, "cuda": 1 << 24}


def draw(
    kind: str, get_inputs: Callable[[], Sequence[Any]], *, seed: int, device: str, others: Sequence[Any] = ()
) -> list[Any]:
    """One set of inputs, contiguous, on ``device``; the same seed gives the same values.

    ``others`` were drawn before and must stay as they are: a task may hand out the same tensor again and again.
    """
    torch.manual_seed(seed)
    with torch.device(device), torch.no_grad():
        inputs = [value.contiguous() if isinstance(value, torch.Tensor) else value for value in get_inputs()]
        if kind == "task":
            return inputs
        change = {"signed": _signed, "scaled": _scaled}[kind]
        taken = {other.data_ptr() for other in others if isinstance(other, torch.Tensor)}
        for number, value in enumerate(inputs):
            if is_signal(value):
                shared = value.data_ptr() in taken
                taken.add(value.data_ptr())
                inputs[number] = change(value.clone() if shared else value)
        return inputs


def factors(*, seed: int, signed: bool, device: str) -> torch.Tensor:
    """Secret factors for ``vary``: their magnitude is in [0.5, 1), half of them are negative if ``signed``."""
    torch.manual_seed(seed)
    magnitude = 0.5 + 0.5 * torch.rand(2 * FACTORS[device], device=device)
    return _signed(magnitude) if signed else magnitude


def vary(value: torch.Tensor, key: int, pool: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """``value`` with a factor of its own on each element, into ``out``; the same key gives the same values.

    One factor for all would not do: of a linear operator, an old answer times the factor is the new one. On a
    square matrix the factor is a row's times a column's, because a symmetric one must stay symmetric.
    """
    draws, most = random.Random(key), pool.numel() // 2
    if value.dim() == 2 and value.shape[0] == value.shape[1] <= most:
        start = draws.randrange(most)
        line = pool[start : start + value.shape[0]]
        # The factors first: row times column is rounded alike on both sides of the diagonal.
        return torch.mul(line[:, None], line, out=out).mul_(value)
    flat, target = value.view(-1), out.view(-1)
    for begin in range(0, flat.numel(), most):
        part = flat[begin : begin + most]
        start = draws.randrange(most)
        torch.mul(part, pool[start : start + part.numel()], out=target[begin : begin + most])
    return out


def is_signal(value: Any) -> bool:
    """Whether a value may be changed: floats, but not labels or masks (a hinge loss has targets -1.0 and 1.0)."""
    return (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.numel() > 0
        and not all(bool((part == part.round()).all()) for part in _parts(value))
    )


# In place, because a task's input may be 17 GB.
def _signed(value: torch.Tensor) -> torch.Tensor:
    if _is_symmetric(value):
        return value.neg_()
    for part in _parts(value):
        part.mul_(torch.randint_like(part, 2).mul_(2).sub_(1))
    return value


def _scaled(value: torch.Tensor) -> torch.Tensor:
    return value.mul_(4.0 + 4.0 * float(torch.rand((), device="cpu")))


def _parts(value: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Views of a contiguous tensor, of so many elements that what is computed of one takes little memory."""
    return value.view(-1).split(ELEMENTS_AT_ONCE)


def _is_symmetric(value: torch.Tensor) -> bool:
    return value.dim() == 2 and value.shape[0] == value.shape[1] and bool((value == value.T).all())
