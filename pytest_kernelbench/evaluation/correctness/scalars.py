"""Numbers about tensors, kept as tensors until several are read together.

The contexts of a GPU take turns of a millisecond: beside seven other judges, every number that is read waits for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from pytest_kernelbench.evaluation.correctness.pieces import pieces

# The median is that of so many elements: of all, it could be a sort of 8 GB.
ELEMENTS_FOR_MEDIAN = 1 << 14


def largest_of(tensor: torch.Tensor) -> torch.Tensor:
    """The largest magnitude of a finite element, as a tensor; 0 where there is none."""
    largest = [part.abs().nan_to_num_(nan=0.0, posinf=0.0).max() for (part,) in pieces(tensor) if part.numel()]
    return torch.stack(largest).max() if largest else tensor.new_zeros(())


def norm_of_finite(tensor: torch.Tensor) -> torch.Tensor:
    """The norm of the finite elements, as a tensor."""
    return whole_norm([torch.linalg.vector_norm(finite(part)) for (part,) in pieces(tensor)])


def whole_norm(norms: Sequence[torch.Tensor]) -> torch.Tensor:
    """The norm of a tensor whose pieces have these ``norms``."""
    return torch.linalg.vector_norm(torch.stack(list(norms)))


def finite(tensor: torch.Tensor) -> torch.Tensor:
    """A copy with 0 in place of NaN and infinities."""
    return tensor.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def numbers(*scalars: torch.Tensor) -> list[float]:
    """Tensors of one element, read together."""
    return torch.stack([each.to(torch.float64) for each in scalars]).tolist()  # type: ignore[no-any-return]


def error_of(got: torch.Tensor, exact: torch.Tensor, *, of_finite: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest absolute and the root mean square error: NaN if any error is, unless ``of_finite`` drops these."""
    if not got.numel():
        return exact.new_zeros(()), exact.new_zeros(())
    largest, norms = [], []
    for part, truth in pieces(got, exact):
        error = (part.to(truth.dtype) - truth).abs_()
        if of_finite:
            error = error.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
        largest.append(error.max())
        norms.append(torch.linalg.vector_norm(error))
    return torch.stack(largest).max(), whole_norm(norms).double() / got.numel() ** 0.5


def rms_of(values: torch.Tensor) -> torch.Tensor:
    # In half precision, the quotient could be 0.
    return torch.linalg.vector_norm(values).double() / max(1, values.numel()) ** 0.5


def finite_rms(values: torch.Tensor, rms: float) -> float:
    """The root mean square of the finite elements; ``rms``: of all."""
    return rms if math.isfinite(rms) else float(norm_of_finite(values)) / values.numel() ** 0.5


def median_of(values: torch.Tensor) -> torch.Tensor:
    """The median magnitude of up to ``ELEMENTS_FOR_MEDIAN`` elements, evenly spaced."""
    if not values.numel():
        return values.new_zeros(())
    flat = values.reshape(-1)
    some = flat[:: -(-len(flat) // ELEMENTS_FOR_MEDIAN)].abs().float()
    return some.nan_to_num_(nan=0.0, posinf=0.0).median()
