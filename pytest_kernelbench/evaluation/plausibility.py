"""Can this be? What a timing must survive before it counts: physics, the judge's own clock, the reference.

Each check returns evidence in one line, or None; what it names is a row of the cheat catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pytest_kernelbench.evaluation.timing import Timing

# Two clocks of one machine that disagree by more than this, both times that they are asked, are not noise.
CLOCKS_AGREE_WITHIN = 1.5
REFERENCES_AGREE_WITHIN = {"cpu": 1.5, "cuda": 1.15}
# The floor is a lower bound on purpose: caches hold part of a small problem, so a CPU gets half of it, and a copy
# is not the best mixture of reads and writes: on an H200 eager relu moves its bytes 1.03 times as fast.
FLOOR_COUNTS = {"cpu": 0.5, "cuda": 0.9}


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A flag of the catalogue and its evidence."""

    flag: str
    evidence: str


def bytes_that_must_move(inputs: Sequence[Any], outputs: Sequence[torch.Tensor]) -> int:
    """Every output element is written once and every input element read once.

    Elements that are zero by structure (a triangular matrix) need not be read, and of a symmetric matrix only
    half: a kernel may rely on either.
    """
    total = sum(t.numel() * t.element_size() for t in outputs)
    for value in inputs:
        if isinstance(value, torch.Tensor):
            needed = float((value != 0).float().mean()) if value.is_floating_point() and value.numel() else 1.0
            if value.dim() == 2 and value.shape[0] == value.shape[1] and torch.equal(value, value.T):
                needed /= 2
            total += int(value.numel() * value.element_size() * needed)
    return total


def beyond_physics(timing: Timing, floor_ms: float, device: str) -> Suspicion | None:
    """Faster than the device's memory can move what must move."""
    if timing.candidate_ms >= floor_ms * FLOOR_COUNTS[device]:
        return None
    return Suspicion(
        "beyond_physics",
        f"{timing.candidate_ms:.4g} ms, but the bytes that must move take at least {floor_ms:.4g} ms here",
    )


def clock_disagreement(timing: Timing, wall_ms_per_call: float) -> Suspicion | None:
    """The judge's wall clock saw calls that are longer than the durations the worker told."""
    if wall_ms_per_call <= CLOCKS_AGREE_WITHIN * timing.candidate_ms:
        return None
    return Suspicion(
        "clock_disagreement",
        f"the worker says {timing.candidate_ms:.4g} ms a call, the judge's clock {wall_ms_per_call:.4g} ms",
    )


def slowed_reference(timing: Timing, reference_ms: float, device: str) -> Suspicion | None:
    """The reference ran slower beside the candidate than it does in the judge's own process."""
    if timing.reference_ms <= REFERENCES_AGREE_WITHIN[device] * reference_ms:
        return None
    return Suspicion(
        "slowed_reference",
        f"the reference took {timing.reference_ms:.4g} ms beside the candidate and {reference_ms:.4g} ms alone",
    )
