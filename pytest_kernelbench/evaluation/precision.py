"""The precisions that a strategy can declare: the types that are computed in, and the tolerance of an answer.

``float32`` is strict: neither TF32 nor half precision. ``tf32`` is PyTorch's default and the precision of KernelBench's
figures: float32 tensors, and convolutions on a GPU in TF32. ``bfloat16`` and ``float16``: inputs, weights and reference
have that type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pytest_kernelbench.registries import PRECISIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """``dtype`` of inputs and weights (None: as the task makes them); whether convolutions may use TF32.

    An answer may be off by the largest of three terms, for each element and (fields that end in ``_rms``) in the root
    mean square: ``roundings`` units in the last place; ``of_spread`` times the distance between answers to problems
    within a rounding of each other; and ``of_eager_max`` (``of_eager_rms``) times the error of eager PyTorch. That last
    term is at most ``of_eager_cap`` units in the last place, or ``of_eager_far`` times eager's error if that is more.
    ``unit``: the relative size of a unit in the last place, where it is coarser than the type's (TF32).
    """

    name: str
    dtype: torch.dtype | None = None
    tf32: bool = False
    unit: float | None = None
    roundings: float = 64.0
    roundings_rms: float = 64.0
    of_spread: float = 32.0
    of_spread_rms: float = 32.0
    # Sequential float32 sums in plain C err up to 10 times eager's blocked ones at the sizes of level 1.
    of_eager_max: float = 32.0
    of_eager_rms: float = 16.0
    of_eager_cap: float = 1024.0
    of_eager_far: float = 4.0

    def unit_of(self, dtype: torch.dtype) -> float:
        """One unit in the last place of an output of this type, relative to its magnitude."""
        return torch.finfo(dtype).eps if self.unit is None else max(self.unit, torch.finfo(dtype).eps)

    def set_flags(self) -> None:
        """Make torch compute in this precision, in this process.

        By default torch lets cuDNN's convolutions use TF32: a reference is then off by 5e-4 for outputs of about 1, and
        a candidate that is compared with it may be off as much.
        """
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = self.tf32

    def cast(self, values: Sequence[Any]) -> list[Any]:
        """Inputs in this precision: floating tensors are converted, other values are unchanged."""
        return [
            value.to(self.dtype)
            if self.dtype is not None and isinstance(value, torch.Tensor) and value.is_floating_point()
            else value
            for value in values
        ]

    def cast_model(self, model: torch.nn.Module) -> torch.nn.Module:
        """A model with its parameters and buffers in this precision."""
        return model if self.dtype is None else model.to(self.dtype)


# Smaller multiples than in float32: where inputs are rounded so coarsely, the order of sums, which are made in float32,
# adds little to that error. With the multiples of float32, zeros would pass for a sigmoid in bfloat16.
_OF_COARSE = {
    "roundings": 8.0,
    "roundings_rms": 2.0,
    "of_spread": 4.0,
    # Operands cut off to TF32, as tensor cores take them, are twice as far off as rounded ones; in bfloat16 4.2 times.
    "of_spread_rms": 3.0,
    "of_eager_max": 4.0,
    "of_eager_rms": 3.0,
    "of_eager_cap": 64.0,
}
FLOAT32 = Precision(name="float32")
TF32 = Precision(name="tf32", tf32=True, unit=2**-11, **_OF_COARSE)
BFLOAT16 = Precision(name="bfloat16", dtype=torch.bfloat16, **_OF_COARSE)
FLOAT16 = Precision(name="float16", dtype=torch.float16, **_OF_COARSE)

__all__ = ["PRECISIONS", "Precision"]
