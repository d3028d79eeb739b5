"""Tensors and models in double precision, and other small questions about lists of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pytest_kernelbench.evaluation.correctness.copied import copied


def is_real(value: Any) -> bool:
    """Whether a value is compared with a tolerance."""
    return isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex())


def wide_type(dtype: torch.dtype) -> torch.dtype:
    """The type in which a tensor of ``dtype`` loses nothing."""
    return torch.complex128 if dtype.is_complex else torch.float64 if dtype.is_floating_point else dtype


def in_float64(value: Any) -> Any:
    """A floating or complex tensor in double precision; anything else as it is."""
    return value.to(wide_type(value.dtype)) if is_real(value) else value


def widened_model(model: torch.nn.Module) -> torch.nn.Module:
    """A copy in double precision."""
    exact = copied(model)
    # Not .double(), which leaves complex parameters as they are.
    return exact._apply(lambda tensor: tensor.to(wide_type(tensor.dtype)))


def rows_of(values: Sequence[torch.Tensor], begin: int, end: int) -> list[torch.Tensor]:
    """The inputs of a part of a batch."""
    return [value[begin:end] for value in values]


def bytes_of(values: Sequence[torch.Tensor]) -> int:
    """Memory that tensors take."""
    return sum(value.numel() * value.element_size() for value in values)
