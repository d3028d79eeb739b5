"""How far apart the answers to problems lie that differ by a few roundings: no kernel can be more exact.

``(x @ w + b - 2) * 1.5`` near zero is a small difference of large terms. A kernel that adds them in another order is
off by a rounding of the terms, which may be thousands of roundings of the result. So the reference runs in float64 on
the given problem and again on problems beside it: every input, parameter and intermediate result is moved at random by
up to one unit in the last place of the declared precision (Monte Carlo arithmetic; Parker, Pierce and Eggert, 2000).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_leaves, tree_map

from pytest_kernelbench.evaluation.correctness.pieces import pieces
from pytest_kernelbench.evaluation.correctness.scalars import finite, norm_of_finite, whole_norm
from pytest_kernelbench.evaluation.correctness.widened import wide_type
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.watching import Watching

# Outputs of fewer than ``FEW`` elements have more draws. The largest spread of a thousand elements differs by 12 % from
# draw to draw (level 1 at small sizes, on a CPU), but that of a single element may come out as 0.
DRAWS, DRAWS_OF_FEW, FEW = 2, 8, 1000
# Operators that round nothing: they fill, move or choose.
_EXACT = frozenset(
    "zeros ones full empty arange zeros_like ones_like full_like empty_like fill_ zero_ clone copy_ _to_copy cat stack "
    "repeat flip roll index_select index gather constant_pad_nd neg abs relu relu_ clamp maximum minimum where "
    "tril triu masked_fill masked_fill_".split()
)


class Spread(NamedTuple):
    """How far answers lie apart, for one output.

    ``largest`` is the largest distance of any element, ``relative`` the largest share of ``|x| + rms(x)``, and ``rms``
    the root mean square of all distances.
    """

    largest: float
    relative: float
    rms: float


class Noise(Watching):
    """A context in which every floating result of an operator is moved by up to ``unit`` of its magnitude."""

    def __init__(self, unit: float, seed: int, device: str) -> None:
        super().__init__()
        self._random = random.Random(seed)
        # A generator of its own, so that what a model draws at random stays the same.
        traits = traits_of(device)
        generator = torch.Generator(device=traits.torch_name).manual_seed(seed)
        # A pool, of which each part of a tensor uses a stretch from a random place on: one new number for each element
        # would take ten times as long as the reference.
        pool = torch.rand(traits.n_noise, dtype=torch.float64, device=traits.torch_name, generator=generator)
        self._factors = pool.mul_(2 * unit).add_(1 - unit)

    def move_(self, value: torch.Tensor) -> torch.Tensor:
        """Move a tensor in place. Zeros, infinities and NaN stay what they are."""
        if value.is_complex():
            self.move_(torch.view_as_real(value))
            return value
        flat = value.view(-1) if value.is_contiguous() else value.reshape(-1)
        most = len(self._factors) // 2
        for part in flat.split(most):
            start = self._random.randrange(most)
            part.mul_(self._factors[start : start + len(part)].to(part.dtype))
        if not value.is_contiguous():
            value.copy_(flat.view(value.shape))
        return value

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        name = str(function).removeprefix("aten.").partition(".")[0]
        if name in _EXACT:
            return result
        given = {_memory(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        in_place = name.endswith("_")

        def moved(value: Any) -> Any:
            # A view of what was moved before is not moved again.
            if _is_rounded(value) and (in_place or _memory(value) not in given):
                self.move_(value)
            return value

        return tree_map(moved, result)


def _memory(value: torch.Tensor) -> int:
    return value.untyped_storage().data_ptr()


def _is_rounded(value: Any) -> bool:
    """Whether a value is a tensor of floating or complex numbers, which are rounded."""
    return isinstance(value, torch.Tensor) and value.numel() > 0 and (value.is_floating_point() or value.is_complex())


def move(model: torch.nn.Module, values: Sequence[Any], noise: Noise) -> list[Any]:
    """Move the parameters and buffers of ``model`` in place; returns copies of ``values`` in float64, moved too."""
    for tensor in (*model.parameters(), *model.buffers()):
        if _is_rounded(tensor):
            noise.move_(tensor.data)
    return tree_map(lambda value: noise.move_(_wide_copy(value)) if _is_rounded(value) else value, list(values))


def _wide_copy(value: torch.Tensor) -> torch.Tensor:
    return value.to(wide_type(value.dtype), copy=True)


def spread_of(exact: torch.Tensor, beside: torch.Tensor) -> Spread:
    """How far ``beside``, the answer to a problem a rounding away, is from the ``exact`` answer."""
    return Spread(*apart(exact, beside).tolist())


def apart(exact: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
    """As ``spread_of``, as a tensor of three numbers: on a GPU that others use, to read a number takes long."""
    if not exact.numel():
        return exact.new_zeros(len(Spread._fields))
    rms = norm_of_finite(exact) / exact.numel() ** 0.5
    largest, relative, norms = zip(*(_apart(part, other, rms) for part, other in pieces(exact, beside)), strict=True)
    rms_of_distance = whole_norm(norms) / exact.numel() ** 0.5
    return torch.stack([torch.stack(largest).max(), torch.stack(relative).max(), rms_of_distance])


def _apart(
    exact: torch.Tensor, beside: torch.Tensor, rms: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The largest distance, the largest share of ``|x| + rms``, and the norm of all distances, of a piece."""
    distance = (beside - exact).abs_().nan_to_num_(nan=0.0, posinf=0.0)
    largest, norm = distance.max(), torch.linalg.vector_norm(distance)
    # If ``rms`` is 0, so may be the sizes, and a distance from there counts as none.
    relative = distance.div_(finite(exact).abs_().add_(rms)).nan_to_num_(nan=0.0, posinf=0.0)
    return largest, relative.max(), norm
