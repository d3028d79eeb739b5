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
# So many elements of rows are computed at once by ``vary_rows``.
AT_ONCE = 1 << 24


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
    most, count = pool.numel() // 2, value.numel()
    key = _next_key(key)
    start = _place(key, most)
    if _is_square(value) and len(value) <= most:
        line = pool[start : start + value.shape[0]]
        # The factors first: row times column is rounded alike on both sides of the diagonal.
        return torch.mul(line[:, None], line, out=out).mul_(value)
    for begin in range(0, count, most):
        part = flat[begin : begin + most]
        torch.mul(part, pool[start : start + part.numel()], out=target[begin : begin + most])
        key = _next_key(key)
        start = _place(key, most)
    return out


def vary_rows(
    values: Sequence[torch.Tensor], keys: Sequence[int], pool: torch.Tensor, rows: Sequence[torch.Tensor]
) -> bool:
    """``vary`` for many small tensors of one shape at once, each into its row of elements.

    Returns False, and writes nothing, for more elements than half of the pool. A turn of short calls has 256 sets of
    inputs, and 10 us for each tensor were a third of the time between two turns (H200).
    """
    most, count = pool.numel() // 2, values[0].numel()
    if count > most:
        return False
    # They share few originals.
    flat = {id(value): value.view(-1) for value in values}
    numbers = {name: number for number, name in enumerate(flat)}
    originals = torch.stack(list(flat.values()))
    which = torch.tensor([numbers[id(value)] for value in values], device=pool.device)
    starts = torch.tensor([_place(_next_key(key), most) for key in keys], device=pool.device)
    is_square = _is_square(values[0])
    lines = pool.unfold(0, len(values[0]) if is_square else count, 1)
    at_once = max(1, AT_ONCE // count)
    for begin in range(0, len(rows), at_once):
        part = slice(begin, begin + at_once)
        factors = lines.index_select(0, starts[part])
        if is_square:
            factors = torch.mul(factors[:, :, None], factors[:, None, :]).view(-1, count)
        products = factors.mul_(originals.index_select(0, which[part]))
        torch._foreach_copy_(list(rows[part]), list(products.unbind()))
    return True


def _is_square(value: torch.Tensor) -> bool:
    return value.dim() == 2 and value.shape[0] == value.shape[1]


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
