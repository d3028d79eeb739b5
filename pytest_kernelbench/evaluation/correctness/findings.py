"""Looks at a reference before candidates are judged by it: is it repeatable, and does it depend on its inputs?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.correctness.comparison import differ_by_rounding
from pytest_kernelbench.evaluation.correctness.domain import BEYOND_THE_TASK, MIXED, TASK
from pytest_kernelbench.evaluation.correctness.reference import Reference
from pytest_kernelbench.evaluation.correctness.tolerances import Tolerances
from pytest_kernelbench.evaluation.correctness.widened import bytes_of
from pytest_kernelbench.tasks.findings import ALWAYS, NEVER, SEEDED, TaskFindings

# A candidate has 10 s for a call; an honest one may take longer than the reference.
MOST_SECONDS_PER_CALL = 8.0


class TaskRefused(HarnessError):
    """No candidate can be judged by this reference; ``findings`` has the reason."""

    def __init__(self, findings: TaskFindings) -> None:
        super().__init__(f"{findings.task}: {findings.refused}")
        self.findings = findings


def look_at(bench: Bench, *, beyond: bool = True) -> TaskFindings:
    """Findings about a bench's reference. Raises TaskRefused where no candidate can be judged by it.

    ``beyond``: whether to find out as well on which other kinds of inputs it is defined, and whether it is constant.
    """
    reference = bench.reference
    repeatable = _repeatable(bench)
    reference.is_random = repeatable == SEEDED
    seconds = bench.seconds_per_call
    refused = None
    if repeatable == NEVER:
        refused = (
            "the reference gives another answer each time it is called on the same inputs, under the same seed; "
            "leave the task out, or have its forward draw from torch's generator"
        )
    elif seconds > MOST_SECONDS_PER_CALL:
        refused = (
            f"one call of the reference takes {seconds:.3g} s on {bench.device}, where {MOST_SECONDS_PER_CALL:.0f} s "
            "are the limit; use small sizes or a faster device"
        )
    known = refused is None and beyond
    findings = TaskFindings(
        task=bench.task_id,
        device=bench.device,
        precision=bench.precision,
        repeatable=repeatable,
        constant=_is_constant(bench) if known else None,
        writes_inputs=bool(reference.written),
        undefined_on=_undefined_on(reference) if known else (),
        seconds_per_call=round(seconds, 6),
        n_bytes=bytes_of(bench.example_inputs) + bytes_of(reference.example_answers),
        refused=refused,
    )
    if refused is not None:
        raise TaskRefused(findings)
    return findings


def bench_of(
    case: Mapping[str, Any],
    device: str,
    tolerances: Tolerances,
    *,
    beyond: bool = True,
    known: TaskFindings | None = None,
) -> tuple[Bench, TaskFindings]:
    """The bench of a request's task, and what its reference does. Raises TaskRefused.

    With ``known``, findings of the same source, the reference is not looked at again.
    """
    try:
        bench = Bench(
            case["task"],
            case["source"],
            seed=case["seed"],
            device=device,
            precision=case["precision"],
            tolerances=tolerances,
        )
        bench.find_needs()
    except HarnessError as error:
        said = " ".join(str(error).split()).removeprefix(f"{case['task']}: ")
        findings = TaskFindings(task=case["task"], device=device, precision=case["precision"], refused=said)
        raise TaskRefused(findings) from error
    if known is None or (beyond and known.constant is None):
        return bench, look_at(bench, beyond=beyond)
    bench.reference.is_random = known.repeatable == SEEDED
    return bench, replace(known, task=case["task"])


def _undefined_on(reference: Reference) -> tuple[str, ...]:
    defined = {level.kind for level in reference.levels()}
    return tuple(kind for kind in BEYOND_THE_TASK if kind not in defined)


def _repeatable(bench: Bench) -> str:
    reference, values = bench.reference, bench.example_inputs
    first = reference.answers(values)
    if not _alike(first, reference.answers(values)):
        return NEVER
    return ALWAYS if _alike(first, reference.answers(values, seed=bench.seed + 1)) else SEEDED


def _is_constant(bench: Bench) -> bool:
    """Whether the answer to one draw passes for the answer to draws of every kind."""
    expected = bench.answers(bench.example_inputs, TASK)
    # ``usable`` is asked one by one, because it takes long, and most references differ on the first kind.
    for kind in (TASK, MIXED, *BEYOND_THE_TASK):
        if kind != TASK and not bench.usable(kind):
            continue
        others = bench.reference.answers(bench.reference.draw(kind))
        if any(one.objection(other) is not None for one, other in zip(expected, others, strict=True)):
            return False
    return True


def _alike(ones: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    """Whether answers are equal but for the order of sums, which atomic additions change from call to call."""
    return all(
        one.shape == other.shape and differ_by_rounding(one.nan_to_num(), other.nan_to_num())
        for one, other in zip(ones, others, strict=True)
    )
