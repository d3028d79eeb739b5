"""How a candidate is timed beside its reference in its own worker: blocks of pairs, or one series of calls.

A candidate can reach the clock of its worker. What comes out of here ranks candidates and says whose claim is worth
the judge's own time; what counts is measured in ``attestation``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from random import SystemRandom
from statistics import median

from pytest_kernelbench.evaluation.clock.timing import Timing, enough, paired_timing, sequential_timing
from pytest_kernelbench.evaluation.protocols import Protocol
from pytest_kernelbench.evaluation.racks import JudgeSlot
from pytest_kernelbench.evaluation.session import WorkerSession

PAIRS_PER_BLOCK = 6
SECONDS_PER_BLOCK = 5.0
# To pass for fast, half of all calls must be skipped: one check in three finds that in nearly every block.
CHECKED_SHARE = 1 / 3
# Memory and order move a pair by 2 % at most (see ``block``).
PLAINLY_SLOWER = 1.25

# The operating system's own: a candidate must not foresee which of its calls are looked at.
random = SystemRandom()

# Milliseconds by side (``reference_ms``, ``candidate_ms``), one for each pair.
Block = dict[str, list[float]]


def propose(
    session: WorkerSession,
    protocol: Protocol,
    margin: float,
    seconds_per_call: float,
    *,
    quiet: Callable[[], None] = lambda: None,
) -> Timing:
    """The worker's own timing: pairs in blocks until more could not change what is said; or one series of calls.

    ``quiet`` is called when both sides are warm: it waits for whatever still ends on the device.
    """
    if protocol.sequential_trials is not None:
        return _sequentially(session, protocol.sequential_trials, seconds_per_call, quiet)
    # Each block has new inputs in all of its slots.
    slots = slots_of_block(session, seconds_per_call)
    _warm(session, slots[:2])
    quiet()
    ms: Block = {"reference_ms": [], "candidate_ms": []}
    while True:
        for side, more in block(session, slots).items():
            ms[side] += more
        timing = paired_timing(ms["reference_ms"], ms["candidate_ms"])
        if enough(timing, protocol, margin):
            return timing


def ms_of_calls(session: WorkerSession, seconds_per_call: float) -> float:
    """The median of some calls of the candidate, in milliseconds by its worker's clock."""
    return median(session.series(slots_to_time(session, seconds_per_call), "candidate"))


def affordable_calls(seconds_per_call: float) -> int:
    """How many calls of the candidate one question may ask for; at least one."""
    return max(1, int(SECONDS_PER_BLOCK / seconds_per_call))


def slots_of_block(session: WorkerSession, seconds_per_call: float) -> list[JudgeSlot]:
    """Slots for as many pairs as memory and time allow in one block."""
    return session.have_slots(
        2 * min(session.rack.pairs_in_memory(PAIRS_PER_BLOCK), affordable_calls(seconds_per_call))
    )


def slots_to_time(session: WorkerSession, seconds_per_call: float) -> list[JudgeSlot]:
    """Slots for one block of pairs, both sides warm."""
    slots = slots_of_block(session, seconds_per_call)
    _warm(session, slots)
    return slots


def _warm(session: WorkerSession, slots: list[JudgeSlot]) -> None:
    """Have new inputs in these slots, two or more, and both sides warm."""
    session.refresh(slots)
    session.warm(slots[0], slots[1], times=2)


def block(session: WorkerSession, slots: list[JudgeSlot]) -> Block:
    """One block of pairs, some of its answers checked.

    Each pair is measured twice, the second time with order and memory of the two sides swapped, and the geometric mean
    counts: the same kernel takes 2 % longer on one 8.6 GB matrix than on another (H200), and of 0.08 ms, 0.7 % longer
    as the first of two (H100). That changes nothing where each pair of the block says that the candidate is
    ``PLAINLY_SLOWER``: then it is measured once.
    """
    slots = random.sample(slots, len(slots))
    half = len(slots) // 2
    # As many of each half: a block that is measured once has calls of the candidate in one of them only.
    of_half = max(1, round(CHECKED_SHARE * half))
    checked = {slot for each in (slots[:half], slots[half:]) for slot in random.sample(each, of_half)}
    # As often first as second: where the first of two takes three times as long (2 ms on two cores, in some blocks),
    # six firsts of six looked plainly slower.
    candidate_first = random.sample([number % 2 == 0 for number in range(half)], half)
    there = _half_block(session, slots[:half], slots[half:], candidate_first, checked)
    pairs = zip(there["reference_ms"], there["candidate_ms"], strict=True)
    if half > 1 and all(own > PLAINLY_SLOWER * other for other, own in pairs):
        return there
    back = _half_block(session, slots[half:], slots[:half], [not first for first in candidate_first], checked)
    return {
        side: [math.sqrt(one * other) for one, other in zip(first, back[side], strict=True)]
        for side, first in there.items()
    }


def _half_block(
    session: WorkerSession,
    references: list[JudgeSlot],
    candidates: list[JudgeSlot],
    candidate_first: list[bool],
    checked: Collection[JudgeSlot],
) -> Block:
    pairs = list(zip(references, candidates, candidate_first, strict=True))
    # Inputs are new for each timed call: an answer kept from an earlier one is a wrong one. The reference's
    # are too, because what was written last is nearer in the caches.
    drawn = session.refresh([*references, *candidates])
    ms = session.pairs(pairs)
    session.check_timed([slot for slot in candidates if slot in checked], drawn)
    return ms


def _sequentially(session: WorkerSession, trials: int, seconds_per_call: float, quiet: Callable[[], None]) -> Timing:
    # One slot after the other: on one alone a CPU's caches made a call of 0.96 ms one of 0.43.
    slots = slots_to_time(session, seconds_per_call)
    quiet()
    turns = [slots[trial % len(slots)] for trial in range(trials)]
    # Fifty calls of a slow kernel take longer than one question may.
    at_once = affordable_calls(seconds_per_call)
    parts = [turns[begin : begin + at_once] for begin in range(0, trials, at_once)]
    candidate_ms, reference_ms = (
        [ms for part in parts for ms in session.series(part, side)] for side in ("candidate", "reference")
    )
    return sequential_timing(reference_ms, candidate_ms)
