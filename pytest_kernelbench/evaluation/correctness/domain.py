"""Kinds of inputs that a task's author did not think of: the domain of an operator is more than the task's own draw.

``torch.rand`` never leaves [0, 1): on it a HardTanh needs no lower bound, a softmax no maximum and a running maximum
may start from zero. Each kind changes the task's own draw, element by element, and keeps what a kernel may rely on:
zeros stay zeros (a triangular matrix stays triangular) and a symmetric matrix stays symmetric. A kind is tried at
several levels, the furthest from the task first, because a reference may be defined on only some of them: at
1000, ``exp`` is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

# Inputs are changed in pieces of so many elements: an input may take 17 GB, and there may be no room for a second one.
ELEMENTS_AT_ONCE = 1 << 28
# An input has one dominating value for so many elements.
ELEMENTS_PER_DOMINATING = 1 << 16
# A magnitude beyond the constants -1000, -10000 and -65504, which kernels use in place of minus infinity.
FAR = 1e5

Change = Callable[[torch.Tensor, float], torch.Tensor]


class Kind(NamedTuple):
    """How a draw is changed, in place; at which levels, in the order in which they are tried; and what it is for."""

    change: Change
    levels: tuple[float, ...]
    meaning: str


def signed(value: torch.Tensor, level: float = 1.0) -> torch.Tensor:
    """Each element with a sign at random, times ``level``; a symmetric matrix is negated as a whole."""
    if is_symmetric(value):
        return value.mul_(-level)
    for part in parts(value):
        part.mul_(torch.randint_like(part, 2).mul_(2).sub_(1))
        if level != 1.0:
            part.mul_(level)
    return value


def scaled(value: torch.Tensor, level: float = 4.0) -> torch.Tensor:
    """All elements times one constant, from ``level`` to twice that."""
    return value.mul_(level + level * float(torch.rand((), device="cpu")))


def _wide(value: torch.Tensor, level: float) -> torch.Tensor:
    return signed(value, level / size_of(value))


def _offset(value: torch.Tensor, level: float) -> torch.Tensor:
    size = size_of(value)
    for part in parts(value):
        part.add_(part.ne(0).to(part.dtype), alpha=level * 20 * size).mul_(5.0 / size)
    return value


def _negative(value: torch.Tensor, level: float) -> torch.Tensor:
    return _positive(value, level).neg_()


def _positive(value: torch.Tensor, level: float) -> torch.Tensor:
    if level < FAR:
        return value.abs_().mul_(level)
    size = size_of(value)
    for part in parts(value):
        # No value is near zero, and they differ by as much as they are large: a variance by squares keeps its digits.
        part.abs_().add_(part.ne(0).to(part.dtype), alpha=size).mul_(level / size)
    return value


def _ties(value: torch.Tensor, level: float) -> torch.Tensor:
    size = size_of(value)
    # A mask of minus infinity has no size; the reference is then not defined on this kind.
    if math.isfinite(size):
        # A power of two, so that long sums are exact: a repeated value is rounded to the same side each time that it is
        # added, and sums of torch's own (``dot`` of two million squares) were off by 4e-4.
        size = 2.0 ** round(math.log2(size))
    if level < 0:
        signed(value)
    for part in parts(value):
        # Rounded away from zero to 1/2, 1, 3/2 or 2 times the draw's size, so that zeros stay and no zero is made.
        part.div_(size).clamp_(-2, 2).mul_(2)
        part.copy_(torch.where(part < 0, part.floor(), part.ceil()).mul_(size / 2))
    return value


def _unit(value: torch.Tensor, level: float) -> torch.Tensor:
    size = size_of(value)
    if level < 0:
        signed(value)
    for part in parts(value):
        # A function of each element, so that a symmetric matrix stays symmetric.
        part.copy_(part.sign() * part.mul(1e3 / size).sin_().mul_(0.05).add_(1))
    return value


def _dominating(value: torch.Tensor, level: float) -> torch.Tensor:
    size = size_of(value)
    count = -(-value.numel() // ELEMENTS_PER_DOMINATING)
    flat = value.view(-1)
    if is_symmetric(value):
        places = torch.randint(len(value), (count,), device=value.device) * (len(value) + 1)
    else:
        places = torch.randint(value.numel(), (count,), device=value.device)
    flat[places] = torch.where(flat[places] == 0, 0.0, level * size).to(value.dtype)
    return value


def _tiny(value: torch.Tensor, level: float) -> torch.Tensor:
    return value.mul_(level)


def _zeros(value: torch.Tensor, level: float) -> torch.Tensor:
    symmetric = is_symmetric(value)
    if level < 0:
        signed(value)
    if symmetric:
        kept = torch.randint(2, (len(value),), device=value.device).to(value.dtype)
        return value.mul_(kept[:, None]).mul_(kept)
    for part in parts(value):
        part.mul_(torch.randint_like(part, 2))
    # Rows of zeros, whose norm is zero.
    if value.dim() and len(value) > 1:
        value[-max(1, len(value) // 3) :] = 0
    return value


def _non_finite(value: torch.Tensor, level: float) -> torch.Tensor:
    flat = value.view(-1)
    for special in (float("nan"), float("inf"), -float("inf")):
        flat[int(torch.randint(value.numel(), (), device="cpu"))] = special
    return value


NON_FINITE = "non-finite"
KINDS = {
    "signed": Kind(signed, (1.0,), "the task's draw with signs at random"),
    "scaled": Kind(scaled, (4.0,), "the task's draw times one constant from 4 to 8"),
    "wide": Kind(_wide, (1000.0, 100.0, 10.0), "of both signs, far beyond saturation"),
    "moderate": Kind(_wide, (5.0,), "of both signs, where functions begin to saturate"),
    "offset": Kind(_offset, (1.0,), "values near 100"),
    "negative": Kind(_negative, (FAR, 4.0, 1.0), "all negative, beyond any constant that stands for minus infinity"),
    "positive": Kind(_positive, (FAR, 4.0, 1.0), "all positive, beyond any constant that stands for infinity"),
    "ties": Kind(_ties, (-1.0, 1.0), "a few values that repeat"),
    "unit": Kind(_unit, (-1.0, 1.0), "magnitudes near 1, whose product neither vanishes nor overflows"),
    # No greater: beside a sum of 1e8, the squares of all other values are rounded away one by one.
    "dominating": Kind(_dominating, (300.0, 50.0), "here and there a value that is much greater than all others"),
    # Not smaller: kernels that compute exp(x) - 1 are off by 2e-5 of the result at 0.003.
    "tiny": Kind(_tiny, (3e-3,), "values of 0.003 times the task's"),
    "zeros": Kind(_zeros, (-1.0, 1.0), "half of the values zero, and in a third of the rows all"),
    NON_FINITE: Kind(_non_finite, (1.0,), "with a NaN and infinities"),
}
# The kinds that are tried beside the protocol's own draws.
BEYOND_THE_TASK = (
    *("wide", "moderate", "offset", "negative", "positive"),
    *("ties", "unit", "dominating", "tiny", "zeros"),
)
# ``TASK``: the task's own draw. ``MIXED``: that and every kind beyond, each on a part of the batch. ``MOVED``: the
# task's own draw, with every parameter and buffer moved away from its initial value.
TASK, MIXED, MOVED = "task", "mixed", "moved parameters"


class Level(NamedTuple):
    """One of ``KINDS`` at one of its levels; ``TASK`` at any is the task's own draw."""

    kind: str
    level: float


def change(value: torch.Tensor, kinds: Sequence[Level]) -> torch.Tensor:
    """``value``, contiguous, changed in place to one kind, or to several, each on a part of the first dimension.

    With several, one call on inputs of full size checks them all wherever the rows of a task are independent. Draws
    from torch's generator.
    """
    if len(kinds) > 1 and (not value.dim() or is_symmetric(value)):
        kinds = kinds[:1]
    size = len(value) if value.dim() else 1
    for number, (kind, level) in enumerate(kinds):
        begin, end = (size * bound // len(kinds) for bound in (number, number + 1))
        if end > begin and kind != TASK:
            KINDS[kind].change(value[begin:end] if value.dim() else value, level)
    return value


def size_of(value: torch.Tensor) -> float:
    """The root mean square of a tensor, 1 where it is zero: the scale on which a kind is defined."""
    norm = float(torch.linalg.vector_norm(value, dtype=torch.promote_types(value.dtype, torch.float32)))
    return norm / value.numel() ** 0.5 or 1.0


def parts(value: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Views of a contiguous tensor, small enough that computing with one takes little memory."""
    return value.view(-1).split(ELEMENTS_AT_ONCE)


def is_symmetric(value: torch.Tensor) -> bool:
    """Whether a tensor is a square matrix that equals its transpose."""
    return value.dim() == 2 and value.shape[0] == value.shape[1] and bool((value == value.T).all())
