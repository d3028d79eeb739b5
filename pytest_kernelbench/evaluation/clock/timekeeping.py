"""How a candidate is timed beside its reference in its own worker: blocks of pairs, or one series of calls.

A candidate can tamper with the clock of its worker. So this timing only ranks candidates and selects the claims that
the judge measures itself; the speed-up that counts is measured in ``attestation``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from random import SystemRandom
from statistics import median

from pytest_kernelbench.evaluation.clock.timing import Timing, enough, paired_timing, sequential_timing
from pytest_kernelbench.evaluation.handles.racks import JudgeSlot
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.evaluation.protocols import Protocol

PAIRS_PER_BLOCK = 6
SECONDS_PER_BLOCK = 5.0
# The share of calls whose answers are checked. A candidate must skip about half of its calls to pass for fast, and one
# check in three finds that in nearly every block of six pairs, and in nine of ten timings by blocks of one.
CHECKED_SHARE = 1 / 3
# A candidate that takes longer by this factor is timed once: memory and order move a pair by 2 % at most (``block``).
PLAINLY_SLOWER = 1.25

# The operating system's generator: a candidate must not foresee which of its calls are checked.
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
    """The worker's own timing: blocks of pairs until more would change nothing (``enough``), or one series of calls.

    ``seconds_per_call``: the judge's wait for one call. ``quiet`` is called once both sides are warm; it returns when
    workers that are ending have left the device.
    """
    if protocol.sequential_trials is not None:
        return _sequentially(session, protocol.sequential_trials, seconds_per_call, quiet)
    # Each block has new inputs in all of its slots.
    slots = slots_of_block(session, seconds_per_call)
    _warm(session, slots[:2])
    quiet()
    ms: Block = {"reference_ms": [], "candidate_ms": []}
    while True:
        for side, more in block(session, slots, slower=_is_plainly_slower(ms)).items():
            ms[side] += more
        timing = paired_timing(ms["reference_ms"], ms["candidate_ms"])
        if enough(timing, protocol, margin):
            return timing


def ms_of_calls(session: WorkerSession, seconds_per_call: float) -> float:
    """The median of some calls of the candidate, in milliseconds by its worker's clock."""
    return median(session.series(slots_to_time(session, seconds_per_call), "candidate"))


def affordable_calls(seconds_per_call: float) -> int:
    """How many calls of the candidate one request may ask for; at least one."""
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
    """Write new inputs into these slots, two or more, and warm both sides."""
    session.refresh(slots)
    session.warm(slots[0], slots[1], times=2)


def block(session: WorkerSession, slots: list[JudgeSlot], *, slower: bool = False) -> Block:
    """One block of pairs: milliseconds by side. Some of the candidate's answers are checked.

    Each pair is measured twice, the second time with order and memory of the two sides swapped, and the geometric mean
    counts: the same kernel takes 2 % longer on one 8.6 GB matrix than on another (H200), and 0.7 % longer as the first
    of two calls of 0.08 ms (H100). If every pair of the block says that the candidate is ``PLAINLY_SLOWER``, it is
    measured once. A single pair may say so by chance: of a block of one, that is believed if all pairs before said so
    too (``slower``).
    """
    slots = random.sample(slots, len(slots))
    half = len(slots) // 2
    # Equally many in each half: in a block that is measured once, the candidate has one half only. Of a block of one
    # pair with 26 GB of slots, a check takes longer than the calls.
    of_half = int(CHECKED_SHARE * half + random.random())
    checked = {slot for each in (slots[:half], slots[half:]) for slot in random.sample(each, of_half)}
    # First in half of the pairs: in some blocks the first of two calls takes three times as long (2 ms, two cores), and
    # a candidate that is always first would look plainly slower.
    candidate_first = random.sample([number % 2 == 0 for number in range(half)], half)
    there = _half_block(session, slots[:half], slots[half:], candidate_first, checked)
    if (half > 1 or slower) and _is_plainly_slower(there):
        return there
    back = _half_block(session, slots[half:], slots[:half], [not first for first in candidate_first], checked)
    return {
        side: [math.sqrt(one * other) for one, other in zip(first, back[side], strict=True)]
        for side, first in there.items()
    }


def _is_plainly_slower(measured: Block) -> bool:
    """Whether there are pairs, and every one says so."""
    pairs = list(zip(measured["reference_ms"], measured["candidate_ms"], strict=True))
    return bool(pairs) and all(own > PLAINLY_SLOWER * other for other, own in pairs)


def _half_block(
    session: WorkerSession,
    references: list[JudgeSlot],
    candidates: list[JudgeSlot],
    candidate_first: list[bool],
    checked: Collection[JudgeSlot],
) -> Block:
    pairs = list(zip(references, candidates, candidate_first, strict=True))
    # New inputs for each timed call, so that a kept answer is wrong. For the reference too: inputs that were just
    # written are nearer in the caches.
    drawn = session.refresh([*references, *candidates])
    ms = session.pairs(pairs)
    if looked_at := [slot for slot in candidates if slot in checked]:
        session.check_timed(looked_at, drawn)
    return ms


def _sequentially(session: WorkerSession, trials: int, seconds_per_call: float, quiet: Callable[[], None]) -> Timing:
    # On one slot after the other: on a single one, a CPU's caches made a call of 0.96 ms one of 0.43 ms.
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
