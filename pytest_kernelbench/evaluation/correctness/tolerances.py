"""How far from the truth the answers of a task may be, measured from its reference on one draw of a kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pytest_kernelbench.evaluation.correctness.comparison import NO_SPREAD, Expected, Tolerance, as_real
from pytest_kernelbench.evaluation.correctness.domain import TASK
from pytest_kernelbench.evaluation.correctness.reference import MOVED, Reference
from pytest_kernelbench.evaluation.correctness.rounding import DRAWS, DRAWS_OF_FEW, FEW, Noise, Spread, spread_of
from pytest_kernelbench.evaluation.correctness.widened import is_real, rows_of

# Inputs of a timed call.
REFRESHED = "refreshed"
# The other kinds ask whether it is the same function, not how exactly it is computed far from the task.
PRECISE = (TASK, "signed", "scaled", REFRESHED, MOVED)
FORGIVEN = 1e-4
# Where operands are rounded coarsely, so many units: of values that repeat, cutting off adds up (level1/13 at TF32).
UNITS_FORGIVEN = 4
# Rounding to bfloat16 is 0.004; a dropped element in a thousand is 0.03.
OF_OTHER_DRAWS = 0.02

# Of each output, by kind of inputs; None for integers, which must be equal.
Tolerances = dict[str, list[Tolerance | None]]


def measured_on(reference: Reference, kind: str, values: Sequence[Any]) -> list[Tolerance | None]:
    """One tolerance for each output, from one draw of a kind."""
    exact: Sequence[torch.Tensor | None]
    try:
        exact = reference.answers(values, kind, widened=True)
    except RuntimeError:
        # Some operators have no float64 kernel, and some tasks do not fit twice.
        exact = [None] * len(reference.example_answers)
    eager = reference.answers(values, kind)
    if reference.is_random and any(_draws_differently(e, x) for e, x in zip(eager, exact, strict=True)):
        exact = [None] * len(eager)
    known = [each for each in exact if each is not None]
    spreads = _spreads(reference, kind, values, known) if len(known) == len(exact) else None
    measured = [
        Expected.of(e, x, spread=spread, precision=reference.precision).tolerance
        for e, x, spread in zip(eager, exact, spreads or [NO_SPREAD] * len(eager), strict=True)
    ]
    # KernelBench's limit was set for the task's own inputs and parameters.
    if kind != TASK:
        measured = [each and each.uncapped() for each in measured]
    if kind in PRECISE:
        return measured
    units = [UNITS_FORGIVEN * reference.precision.unit_of(e.dtype) if is_real(e) else 0.0 for e in eager]
    return [each and each.that_forgives(max(FORGIVEN, unit)) for each, unit in zip(measured, units, strict=True)]


def _draws_differently(eager: torch.Tensor, exact: torch.Tensor | None) -> bool:
    """Whether a model drew other numbers in float64, as CUDA's dropout does under the same seed."""
    if exact is None or not is_real(eager):
        return False
    error = torch.linalg.vector_norm((eager - exact).nan_to_num(posinf=0.0, neginf=0.0))
    return float(error) > OF_OTHER_DRAWS * float(torch.linalg.vector_norm(exact.nan_to_num(posinf=0.0, neginf=0.0)))


def wider(ones: Sequence[Tolerance | None], others: Sequence[Tolerance | None]) -> list[Tolerance | None]:
    """The wider tolerance of two lists, output by output."""
    return [one and other and one.wider(other) for one, other in zip(ones, others, strict=True)]


def _spreads(
    reference: Reference, kind: str, values: Sequence[Any], exact: Sequence[torch.Tensor]
) -> list[Spread] | None:
    """How far the answers to problems beside this one lie apart; of a batch in parts, in one part. None: not known.

    ``exact`` are the answers in float64 to the whole of ``values``.
    """
    try:
        if reference.n_parts > 1:
            rows = len(reference.example_answers[0])
            values = rows_of(values, 0, -(-rows // reference.n_parts))
            exact = reference.beside(values, kind, None)
        exact = [as_real(each) for each in exact]
        unit = reference.precision.unit_of(next((t.dtype for t in _of_answer(reference)), torch.float32))
        few = min((t.numel() for t in exact), default=0) < FEW
        spreads = [NO_SPREAD] * len(exact)
        for seed in range(DRAWS_OF_FEW if few else DRAWS):
            beside = reference.beside(values, kind, Noise(unit, seed, reference.device))
            for at, (x, other) in enumerate(zip(exact, map(as_real, beside), strict=True)):
                if x.is_floating_point():
                    spreads[at] = spreads[at].wider(spread_of(x, other))
    except RuntimeError:
        # Twice as much memory is not there, or an operator cannot be looked into.
        return None
    return spreads


def _of_answer(reference: Reference) -> list[torch.Tensor]:
    return [as_real(t) for t in reference.example_answers if is_real(t)]
