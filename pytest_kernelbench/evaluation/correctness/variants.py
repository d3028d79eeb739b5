"""The models by which candidates are judged: the reference's, and that with moved parameters, each in float64 too."""

from __future__ import annotations

from functools import cached_property

import torch

from pytest_kernelbench.evaluation.correctness.copied import copied
from pytest_kernelbench.evaluation.correctness.widened import bytes_of, widened_model
from pytest_kernelbench.evaluation.modules import move_parameters

# Models of more memory are made again each time: with all four of level3/2, whose weights take 8.6 GB, a judge held 79
# GB, and beside seven others its workers found no memory.
KEPT_BYTES = 1 << 28


class Variants:
    """``model`` in four variants. ``seed`` decides how its parameters are moved (``move_parameters``)."""

    def __init__(self, model: torch.nn.Module, seed: int) -> None:
        self._model = model
        self._seed = seed
        self._are_kept = bytes_of([*model.parameters(), *model.buffers()]) <= KEPT_BYTES
        self._kept: dict[tuple[bool, bool], torch.nn.Module] = {}

    @cached_property
    def can_move(self) -> bool:
        """Whether the model has parameters or buffers that can be moved away from their initial values."""
        moved = self._moved()
        if moved is not None and self._are_kept:
            self._kept[True, False] = moved
        return moved is not None

    def of(self, *, moved: bool = False, widened: bool = False) -> torch.nn.Module:
        """A variant, which is only to be copied: ``moved`` where its parameters can be, ``widened`` to float64."""
        moved = moved and self.can_move
        if (moved, widened) not in self._kept:
            made = widened_model(self.of(moved=moved)) if widened else self._moved() if moved else self._model
            assert made is not None
            if not self._are_kept:
                return made
            self._kept[moved, widened] = made
        return self._kept[moved, widened]

    def fresh(self, *, moved: bool = False, widened: bool = False) -> torch.nn.Module:
        """A copy of a variant: a call may change it."""
        made = self.of(moved=moved, widened=widened)
        is_of_nobody = not self._are_kept and made is not self._model
        return made if is_of_nobody else copied(made)

    def _moved(self) -> torch.nn.Module | None:
        moved = copied(self._model)
        return moved if move_parameters(moved, self._model, self._seed) else None
