"""Can this be? What a timing must survive before it counts: physics, the judge's own clock, the reference.

Each check returns evidence in one line, or None; what it names is a row of the cheat catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from pytest_kernelbench.evaluation.timing import Timing

# Two clocks of one machine that disagree by more than this, both times that they are asked, are not noise.
CLOCKS_AGREE_WITHIN = 1.5
# In the shortest of some sweeps, of 20 honest kernels on an H200 that were 1.1 to 3.3 times as fast, the judge's clock
# saw 0.82 to 1.06 of what the worker told. Of a call that is shorter than its launch, a slow host shows more.
SWEEPS_OF_A_GPU_AGREE_WITHIN = 1.15
SWEEPS_OF_A_GPU_ROUNDING_MS = 0.05
# The judge's clock must see half of what a candidate claims to save, unless that is less than the clock can tell. On a
# busy CPU it saw 0.9 of what an honest kernel saved, or more, and up to 0.3 of what another had only forged.
SEEN_SAVING = 0.5
CLOCK_TELLS_MS = 0.02
CLOCK_TELLS_SHARE = {"cpu": 0.05, "cuda": 0.0}
# Kernels of a call cannot run longer than the call; under the profiler their caches are warm, so less is the rule. A
# kernel of 13 GB takes 3.7 % longer in pairs with another than in a series of its own (H200).
BUSY_AGREES_WITHIN = 1.05
BUSY_ROUNDING_MS = 0.003
# What is late counts as time in any case; so much more than the reference's, in half of the calls, is no hiccup.
LATE_MS = 0.03
REFERENCES_AGREE_WITHIN = {"cpu": 1.5, "cuda": 1.04}
REFERENCE_ROUNDING_MS = {"cpu": 0.0, "cuda": 0.005}
# The floor is a lower bound on purpose: caches hold part of a small problem, so a CPU gets half of it, and a copy
# is not the best mixture of reads and writes: on an H200 eager relu moves its bytes 1.03 times as fast.
FLOOR_COUNTS = {"cpu": 0.5, "cuda": 0.9}


# What a clock says, other processes that want the same cores may say.
BY_THE_CLOCK = frozenset({"clock_disagreement", "slowed_reference"})


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A flag of the catalogue and its evidence."""

    flag: str
    evidence: str


def beyond_physics(timing: Timing, floor_ms: float, device: str) -> Suspicion | None:
    """Faster than the device can move the bytes, or form the products, that the task consists of."""
    if timing.candidate_ms >= floor_ms * FLOOR_COUNTS[device]:
        return None
    return Suspicion(
        "beyond_physics",
        f"{timing.candidate_ms:.4g} ms, but what must be moved and multiplied takes at least {floor_ms:.4g} ms here",
    )


def late_work(late_ms: Sequence[float], reference_late_ms: Sequence[float]) -> Suspicion | None:
    """The device went on after the call's own stream had ended: work on another stream, or of another thread.

    In 1 process of 20 the host is slow to notice an end, for the reference as well.
    """
    if median(late_ms) <= median(reference_late_ms) + LATE_MS:
        return None
    return Suspicion("side_stream", f"works for {median(late_ms):.4g} ms after its own stream has ended")


def longest_busy_ms(timing: Timing) -> float:
    """For how long a call's kernels may keep a GPU busy."""
    return BUSY_AGREES_WITHIN * timing.candidate_ms + BUSY_ROUNDING_MS


def longest_sweep_ms(timing: Timing, device: str) -> float:
    """How long a call may take in a sweep, by the judge's clock."""
    longest_ms = CLOCKS_AGREE_WITHIN * timing.candidate_ms
    if device == "cpu":
        return longest_ms
    return min(longest_ms, SWEEPS_OF_A_GPU_AGREE_WITHIN * timing.candidate_ms + SWEEPS_OF_A_GPU_ROUNDING_MS)


def hidden_work(
    timing: Timing, busy_ms: float | None, control_busy_ms: float | None, wall_ms_per_call: float | None
) -> Suspicion | None:
    """Kernels that a call started, on any stream, kept the GPU busy for longer than the call is said to last.

    The profiler records them with instructions of its own in every block: an honest kernel of 6.3 million blocks ran
    for 5.53 ms with them and for 5.10 without (H200). So no more counts than ``wall_ms_per_call``, of calls all of
    which gave right answers by the judge's clock; None where that was not measured.
    """
    if busy_ms is None and control_busy_ms is not None:
        return Suspicion("hidden_work", "its kernels leave no record, and those of the reference do")
    if busy_ms is None:
        return None
    if wall_ms_per_call is not None:
        busy_ms = min(busy_ms, wall_ms_per_call + CLOCK_TELLS_MS)
    if busy_ms <= longest_busy_ms(timing):
        return None
    return Suspicion(
        "hidden_work",
        f"the worker says {timing.candidate_ms:.4g} ms a call, and its kernels run for {busy_ms:.4g} ms",
    )


def clock_disagreement(timing: Timing, wall_ms_per_call: float, longest_ms: float) -> Suspicion | None:
    """The judge's wall clock saw calls that are longer than the durations the worker told."""
    if wall_ms_per_call <= longest_ms:
        return None
    return Suspicion(
        "clock_disagreement",
        f"the worker says {timing.candidate_ms:.4g} ms a call, the judge's clock {wall_ms_per_call:.4g} ms",
    )


def unseen_saving(timing: Timing, wall_ms_per_call: float, control_ms: float, device: str) -> Suspicion | None:
    """Calls one after the other do not get shorter by what the candidate claims to save."""
    seen_ms = max(
        SEEN_SAVING * (control_ms - timing.candidate_ms), CLOCK_TELLS_MS, CLOCK_TELLS_SHARE[device] * control_ms
    )
    if wall_ms_per_call <= timing.candidate_ms + seen_ms:
        return None
    return Suspicion(
        "clock_disagreement",
        f"the worker says {timing.candidate_ms:.4g} ms a call where the reference takes {control_ms:.4g} ms, "
        f"the judge's clock {wall_ms_per_call:.4g} ms",
    )


def hidden_in_pairs(
    timing: Timing, around_pair_ms: float, control_around_pair_ms: float, control_ms: float, device: str
) -> Suspicion | None:
    """More surrounds the candidate's pairs than the control's: so much of its call was not counted.

    A call repeated, as in a sweep, finds warmer caches than a call among pairs: here one clock alone convicts nobody.
    """
    wall_ms = timing.candidate_ms + around_pair_ms - control_around_pair_ms
    if clock_disagreement(timing, wall_ms, CLOCKS_AGREE_WITHIN * timing.candidate_ms) is None:
        return None
    return unseen_saving(timing, wall_ms, control_ms, device)


def slowed_reference(timing: Timing, reference_ms: float, device: str) -> Suspicion | None:
    """The reference ran slower beside the candidate than it does in the judge's own process."""
    if timing.reference_ms <= REFERENCES_AGREE_WITHIN[device] * reference_ms + REFERENCE_ROUNDING_MS[device]:
        return None
    return Suspicion(
        "slowed_reference",
        f"the reference took {timing.reference_ms:.4g} ms beside the candidate and {reference_ms:.4g} ms alone",
    )
