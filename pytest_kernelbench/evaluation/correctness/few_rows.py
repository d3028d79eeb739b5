"""Finds the kinds of inputs on which a reference has an answer, with a copy on a CPU and a few rows of its inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch

from pytest_kernelbench.evaluation.correctness import inputs
from pytest_kernelbench.evaluation.correctness.comparison import differ_by_rounding
from pytest_kernelbench.evaluation.correctness.domain import NON_FINITE, TASK, Level, change
from pytest_kernelbench.evaluation.correctness.pieces import all_finite
from pytest_kernelbench.evaluation.correctness.ties import EqualValues, either_way
from pytest_kernelbench.evaluation.correctness.widened import in_float64, is_real, widened_model
from pytest_kernelbench.evaluation.sharing.giving_way import give_way

if TYPE_CHECKING:
    from pytest_kernelbench.evaluation.correctness.reference import Reference

# So few rows and elements take a CPU some milliseconds. If a call takes longer, as in a deep network, it is tried with
# one row, and then given up: all kinds together are some 20 calls (7 s for level2/50, beside an H100).
FEW_ROWS, FEW_ELEMENTS, MOST_SECONDS_FOR_FEW = 8, 1 << 20, 0.1


class FewRows:
    """Asks a copy of the reference on a CPU, about a few rows of its example inputs, on which kinds it has an answer.

    On a CPU, because an operator that asserts its domain (binary cross-entropy) ends the process on a GPU; on few rows,
    because whole inputs may be 8 GB. If the reference does not run on some of its rows, ``has_answer`` is always True,
    and every kind is tried on whole inputs.
    """

    def __init__(self, reference: Reference) -> None:
        self._signals = [inputs.is_signal(value) for value in reference.example_inputs]
        self._model = reference.model_for(TASK).cpu()
        self._rows: list[torch.Tensor] | None = None
        # Whether the reference calls an operator that chooses among equal values; None: not known.
        self.chooses: bool | None = None
        for most in (FEW_ROWS, 1):
            rows = self._some(reference.example_inputs, most)
            started = time.perf_counter()
            with EqualValues(last=True) as watch:
                answers = rows is not None and self._answers(reference, rows, NON_FINITE)
            if not answers:
                break
            self.chooses = watch.chose
            if time.perf_counter() - started < MOST_SECONDS_FOR_FEW:
                self._rows = rows
                break

    def has_answer(self, reference: Reference, level: Level) -> bool:
        """Whether the reference raises nothing on a few rows of this kind, and its answer is finite and stable."""
        if self._rows is None:
            return True
        give_way()
        values = [
            change(value.clone(), [level]) if signal else value
            for value, signal in zip(self._rows, self._signals, strict=True)
        ]
        return self._answers(reference, values, level.kind)

    @staticmethod
    def _some(values: Sequence[torch.Tensor], most: int) -> list[torch.Tensor] | None:
        """Copies of the first rows of inputs that share the batch, and of other inputs as a whole; None: too large."""
        rows = next((len(value) for value in values if value.dim()), 0)
        shared = [value.dim() > 0 and len(value) == rows for value in values]
        a_row = sum(value[:1].numel() for value, of_rows in zip(values, shared, strict=True) if of_rows)
        rest = sum(value.numel() for value, of_rows in zip(values, shared, strict=True) if not of_rows)
        count = min(rows, most, (FEW_ELEMENTS - rest) // max(1, a_row))
        if count < 1:
            return None
        few = [value[:count] if of_rows else value for value, of_rows in zip(values, shared, strict=True)]
        # Copies, so that the memory of large inputs can be freed.
        return [value.to("cpu", copy=True) for value in few]

    def _answers(self, reference: Reference, values: Sequence[torch.Tensor], kind: str) -> bool:
        def exact() -> list[torch.Tensor]:
            return reference.answer_of(widened_model(self._model), [in_float64(value) for value in values])

        try:
            answers = partial(reference.answer_of, self._model, values)
            return are_defined(answers, exact, kind, chooses=lambda: self.chooses is True)
        except Exception:  # the reference's own: whatever it raises, it is not defined on this kind
            return False


def are_defined(
    answers: Callable[[], Sequence[torch.Tensor]],
    exact: Callable[[], Sequence[torch.Tensor]],
    kind: str,
    *,
    chooses: Callable[[], bool],
) -> bool:
    """Whether answers to inputs of a kind are finite and stable; infinite ones are expected where the inputs are.

    ``answers()`` are the reference's, ``exact()`` the same in float64. ``chooses()``: whether it calls an operator that
    chooses among equal values. Raises what they raise.
    """
    outputs = answers()
    if kind == NON_FINITE:
        return True
    if not all(map(all_finite, outputs)):
        return False
    if not all(map(is_real, outputs)):
        # An answer of indices must be equal to the indices that float64 gives. For others float64 says nothing, and
        # takes seven times as long (a 3D convolution, one core).
        pairs = zip(outputs, exact(), strict=True)
        if not all(is_real(output) or torch.equal(output, due) for output, due in pairs):
            return False
    if not chooses():
        return True
    return all(differ_by_rounding(one, other) for one, other in zip(*either_way(answers), strict=True))
