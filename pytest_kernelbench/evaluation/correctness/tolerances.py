"""How far from the truth the answers of a task may be, measured from its reference on one draw of a kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pytest_kernelbench.evaluation.correctness.comparison import NO_SPREAD, Expected, Tolerance, as_real
from pytest_kernelbench.evaluation.correctness.domain import MIXED, MOVED, TASK
from pytest_kernelbench.evaluation.correctness.mixed import Part, parts_of_mixed
from pytest_kernelbench.evaluation.correctness.reference import Reference
from pytest_kernelbench.evaluation.correctness.rounding import DRAWS, DRAWS_OF_FEW, FEW, Noise, Spread, apart
from pytest_kernelbench.evaluation.correctness.widened import is_real, rows_of
from pytest_kernelbench.evaluation.device.traits import torch_name
from pytest_kernelbench.evaluation.shortage import is_for_company

# The kind of the inputs of timed calls.
REFRESHED = "refreshed"
# The kinds on which exactness is checked. On the others, far from the task, only the function must be the same.
PRECISE = (TASK, "signed", "scaled", "moderate", REFRESHED, MOVED)
# On those others, the share of its magnitude by which an element may be off.
FORGIVEN = 1e-4
# An instance norm that averages squares was off by 1.03e-4 of values near 100.
FORGIVEN_ON = {"offset": 4e-4}
# On ``dominating`` inputs, the share of the largest element by which any may be off (256 roundings in float32).
OF_LARGEST = 3e-5
# At least so many units in the last place are forgiven: on repeated values, errors of cutting off to TF32 add up
# (level1/13).
UNITS_FORGIVEN = 4
# A relative error beyond this comes from other random draws: rounding to bfloat16 is 0.004, a dropped element in a
# thousand 0.03.
OF_OTHER_DRAWS = 0.02

# By kind of inputs, a tolerance for each output; None for integers, which must be equal.
Tolerances = dict[str, list[Tolerance | None]]


def measured_on(reference: Reference, kind: str, values: Sequence[Any]) -> list[Tolerance | None]:
    """One tolerance for each output, from one draw of a kind."""
    (whole,) = _measured(reference, kind, values, [None])
    return whole


def measured_on_parts(reference: Reference, values: Sequence[Any]) -> Tolerances:
    """Tolerances from one ``mixed`` draw: by ``MIXED`` for the whole, and by each part's key for that part."""
    parts = parts_of_mixed(reference)
    whole, *of_parts = _measured(reference, MIXED, values, [None, *parts])
    return {MIXED: whole, **{part.key: each for part, each in zip(parts, of_parts, strict=True)}}


def _measured(
    reference: Reference, kind: str, values: Sequence[Any], parts: Sequence[Part | None]
) -> list[list[Tolerance | None]]:
    exact: Sequence[torch.Tensor | None]
    try:
        exact = reference.answers(values, kind, widened=True)
    except RuntimeError as error:
        # Some operators have no float64 kernel, and some tasks do not fit twice.
        if is_for_company(error):
            raise
        exact = [None] * len(reference.example_answers)
    eager = reference.answers(values, kind)
    if reference.is_random and any(_draws_differently(e, x) for e, x in zip(eager, exact, strict=True)):
        exact = [None] * len(eager)
    known = [each for each in exact if each is not None]
    spreads = _spreads(reference, kind, values, known, parts) if len(known) == len(exact) else None
    return [
        [
            _tolerance(reference, kind if part is None else part.kind, _of(part, e), _of(part, x), spread)
            for e, x, spread in zip(eager, exact, of_part, strict=True)
        ]
        for part, of_part in zip(parts, spreads or [[NO_SPREAD] * len(eager)] * len(parts), strict=True)
    ]


def _tolerance(
    reference: Reference, kind: str, eager: torch.Tensor, exact: torch.Tensor | None, spread: Spread
) -> Tolerance | None:
    precision = reference.precision
    measured = Expected.of(eager, exact, spread=spread, precision=precision).tolerance
    if measured is None:
        return None
    unit = precision.unit_of(eager.dtype)
    # KernelBench's limit was set for the task's own inputs and parameters.
    if kind != TASK:
        measured = measured.uncapped()
    if kind == "dominating":
        measured = measured.of_the_largest(OF_LARGEST)
    if kind in PRECISE:
        return measured
    return measured.that_forgives(max(FORGIVEN_ON.get(kind, FORGIVEN), UNITS_FORGIVEN * unit))


def _of(part: Part | None, tensor: torch.Tensor | None) -> Any:
    return tensor if part is None or tensor is None else tensor[part.begin : part.end]


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
    reference: Reference,
    kind: str,
    values: Sequence[Any],
    exact: Sequence[torch.Tensor],
    parts: Sequence[Part | None],
) -> list[list[Spread]] | None:
    """How far the answers to problems beside this one lie apart, by part and output; None: not known.

    ``exact``: the answers in float64 to ``values``. For a batch that is computed in several steps, only some rows are
    used.
    """
    try:
        if reference.n_parts > 1:
            rows = -(-len(reference.example_answers[0]) // reference.n_parts)
            if kind == MIXED:
                values, parts = _thinned(values, parts, reference.n_parts)
            else:
                values = rows_of(values, 0, rows)
            exact = reference.beside(values, kind, None)
        exact = [as_real(each) for each in exact]
        unit = reference.precision.unit_of(next((t.dtype for t in _of_answer(reference)), torch.float32))
        few = min((_of(part, t).numel() for t in exact for part in parts), default=0) < FEW
        shape, device = (len(parts), len(exact), len(Spread._fields)), torch_name(reference.device)
        widest = torch.zeros(shape, dtype=torch.float64, device=device)
        for seed in range(DRAWS_OF_FEW if few else DRAWS):
            beside = reference.beside(values, kind, Noise(unit, seed, reference.device))
            for output, (x, other) in enumerate(zip(exact, map(as_real, beside), strict=True)):
                if x.is_floating_point():
                    for number, part in enumerate(parts):
                        known = widest[number, output]
                        torch.maximum(known, apart(_of(part, x), _of(part, other)), out=known)
    except RuntimeError as error:
        # There is no memory for a second answer, or an operator cannot be moved in float64.
        if is_for_company(error):
            raise
        return None
    return [[Spread(*found) for found in of_part] for of_part in widest.tolist()]


def _thinned(
    values: Sequence[torch.Tensor], parts: Sequence[Part | None], times: int
) -> tuple[list[torch.Tensor], list[Part | None]]:
    """The first rows of each part, and where they are then; the first of ``parts`` is the whole."""
    taken: list[torch.Tensor] = []
    thin: list[Part | None] = [None]
    begin = 0
    for part in parts:
        if part is None:
            continue
        count = -(-(part.end - part.begin) // times)
        taken.append(torch.arange(part.begin, part.begin + count))
        thin.append(Part(part.kind, begin, begin + count))
        begin += count
    rows = torch.cat(taken)
    return [value[rows.to(value.device)] for value in values], thin


def _of_answer(reference: Reference) -> list[torch.Tensor]:
    return [as_real(t) for t in reference.example_answers if is_real(t)]
