"""Checks of a timing against facts that no clock gives: each returns its evidence in one line, or None."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_kernelbench.evaluation.clock.timing import Timing
from pytest_kernelbench.evaluation.device.traits import traits_of


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A reason to void a candidate: ``flag`` for ``Evaluation.flags``, and the evidence in one line."""

    flag: str
    evidence: str


def beyond_physics(timing: Timing, floor_ms: float, device: str) -> Suspicion | None:
    """Suspicion if the timing is shorter than the device needs to move the task's bytes or form its products."""
    if timing.candidate_ms >= floor_ms * traits_of(device).floor_share:
        return None
    return Suspicion(
        "beyond_physics",
        f"{timing.candidate_ms:.4g} ms, but what must be moved and multiplied takes at least {floor_ms:.4g} ms here",
    )
