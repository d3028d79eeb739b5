"""How the judge has a candidate timed beside its reference: blocks of pairs, sweeps by its own clock, series."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from random import SystemRandom
from typing import NamedTuple

from pytest_kernelbench.evaluation.dock import Dock, JudgeSlot
from pytest_kernelbench.evaluation.plausibility import Suspicion, late_work
from pytest_kernelbench.evaluation.protocols import Protocol
from pytest_kernelbench.evaluation.timing import Timing, enough, paired_timing, sequential_timing

PAIRS_PER_BLOCK = 6
SECONDS_PER_BLOCK = 5.0
# Shorter ones, in turns, see the same of somebody else's bursts on a CPU: beside them, the saving of an honest kernel
# was sure 10 times in 10 with two calls to a sweep, and with twelve 2 times.
SECONDS_PER_SWEEP = {"cpu": 0.005, "cuda": 0.5}
# To pass for fast, half of all calls must be skipped: one check in three finds that in nearly every block.
CHECKED_SHARE = 1 / 3
# The shortest counts, and a busy machine lengthens most.
SWEEPS = 10

# The operating system's own: a candidate must not foresee which of its calls are looked at.
random = SystemRandom()


class Block(NamedTuple):
    """Milliseconds by side (``reference_ms``, ``candidate_late_ms``, ...), one for each pair.

    ``around_pair_ms`` is what a pair took, by the judge's clock, that was in neither side.
    """

    ms: dict[str, list[float]]
    around_pair_ms: float


class Measured(NamedTuple):
    """A timing, the least that surrounded a pair, and what the device was seen doing after the candidate's calls.

    ``remark`` says what else there is to know of it.
    """

    timing: Timing
    around_pair_ms: float
    late: Suspicion | None = None
    remark: str = ""

    def without_claim(self, why: str) -> Measured:
        """The same, against a reference that takes no longer: not faster."""
        equal = self.timing.against(self.timing.reference_ms / self.timing.speedup)
        timing = replace(equal, speedup=min(1.0, equal.speedup))
        return self._replace(timing=timing, remark=f"not counted as faster: {why}")


class Timekeeper:
    """Times what stands in a dock, by one protocol."""

    def __init__(self, protocol: Protocol, margin: float) -> None:
        self._protocol = protocol
        self.margin = margin

    def measure(self, dock: Dock, seconds_per_call: float, between: Callable[[], None] = lambda: None) -> Measured:
        """Pairs in blocks, ``between`` after each, until more could not change what is said; or one series of calls."""
        if self._protocol.sequential_trials is not None:
            timing = _sequentially(dock, self._protocol.sequential_trials, seconds_per_call)
            between()
            return Measured(timing, 0.0)
        slots = slots_to_time(dock, seconds_per_call)
        around_pair_ms = float("inf")
        ms: dict[str, list[float]] = {}
        while True:
            found = block(dock, slots)
            around_pair_ms = min(around_pair_ms, found.around_pair_ms)
            for side, more in found.ms.items():
                ms.setdefault(side, []).extend(more)
            between()
            timing = paired_timing(ms["reference_ms"], ms["candidate_ms"])
            if enough(timing, self._protocol, self.margin):
                return Measured(timing, around_pair_ms, late_work(ms["candidate_late_ms"], ms["reference_late_ms"]))


def affordable_calls(seconds_per_call: float) -> int:
    """How many calls of the candidate one question may ask for; at least one."""
    return max(1, int(SECONDS_PER_BLOCK / seconds_per_call))


def calls_of_sweep(seconds_per_call: float, device: str) -> int:
    """How many calls belong in one sweep where many are made; at least one."""
    return max(1, int(SECONDS_PER_SWEEP[device] / seconds_per_call))


def slots_of_block(dock: Dock, seconds_per_call: float) -> list[JudgeSlot]:
    """Slots for as many pairs as memory and time allow in one block."""
    return dock.have_slots(2 * min(dock.rack.pairs_in_memory(PAIRS_PER_BLOCK), affordable_calls(seconds_per_call)))


def slots_to_time(dock: Dock, seconds_per_call: float) -> list[JudgeSlot]:
    """Slots for one block of pairs, both sides warm."""
    slots = slots_of_block(dock, seconds_per_call)
    dock.refresh(slots)
    dock.warm(slots[0], slots[1], times=2)
    return slots


def block(dock: Dock, slots: list[JudgeSlot], *, cold: bool = False) -> Block:
    """One block of pairs, some of its answers checked.

    Each pair is measured twice, the second time with order and memory of the two sides swapped, and the geometric mean
    counts: the same kernel takes 2 % longer on one 8.6 GB matrix than on another (H200), and of 0.08 ms, 0.7 % longer
    as the first of two (H100).
    """
    random.shuffle(slots)
    half = len(slots) // 2
    checked = set(random.sample(slots, max(1, round(CHECKED_SHARE * len(slots)))))
    candidate_first = [random.random() < 0.5 for _ in range(half)]
    there = _half_block(dock, slots[:half], slots[half:], candidate_first, checked, cold=cold)
    back = _half_block(dock, slots[half:], slots[:half], [not first for first in candidate_first], checked, cold=cold)
    ms = {
        side: [math.sqrt(one * other) for one, other in zip(first, back.ms[side], strict=True)]
        for side, first in there.ms.items()
    }
    return Block(ms, (there.around_pair_ms + back.around_pair_ms) / 2)


def _half_block(
    dock: Dock,
    references: list[JudgeSlot],
    candidates: list[JudgeSlot],
    candidate_first: list[bool],
    checked: Collection[JudgeSlot],
    *,
    cold: bool,
) -> Block:
    pairs = list(zip(references, candidates, candidate_first, strict=True))
    # Inputs are new for each timed call: an answer kept from an earlier one is a wrong one. The reference's
    # are too, because what was written last is nearer in the caches.
    drawn = dock.refresh([*references, *candidates])
    ms, around_pair_ms = dock.pairs(pairs, cold=cold)
    dock.check_timed([slot for slot in candidates if slot in checked], drawn)
    return Block(ms, around_pair_ms)


def sweep(dock: Dock, slots: Sequence[JudgeSlot], *, every_answer: bool = False) -> float:
    """Milliseconds of one call on inputs of its own and of all that surrounds it, by the judge's clock.

    Two answers are checked; where the time is to be held against other evidence, ``every_answer``.
    """
    drawn = dock.refresh(slots)
    wall_ms = dock.sweep(slots) / len(slots)
    # The last call is the one that may still be running when the clock stops.
    dock.check_timed(slots if every_answer else [random.choice(slots), slots[-1]], drawn)
    return wall_ms


def sweeps(dock: Dock, slots: Sequence[JudgeSlot], *, least: int = 1, most: int = SWEEPS) -> Iterator[float]:
    """Some sweeps, one after the other: ``least``, and up to ``most`` while there is time."""
    started = time.perf_counter()
    for number in range(most):
        if number >= least and time.perf_counter() - started > SECONDS_PER_BLOCK:
            break
        yield sweep(dock, slots)


def shortest_sweep(dock: Dock, good_enough_ms: float) -> float:
    """The shortest of some sweeps; no more are made once one is ``good_enough_ms``."""
    shortest = float("inf")
    for ms in sweeps(dock, dock.slots):
        shortest = min(shortest, ms)
        if shortest <= good_enough_ms:
            break
    return shortest


def _sequentially(dock: Dock, trials: int, seconds_per_call: float) -> Timing:
    # One slot after the other, as in a sweep: on one alone a CPU's caches made a call of 0.96 ms one of 0.43.
    slots = slots_to_time(dock, seconds_per_call)
    turns = [slots[trial % len(slots)] for trial in range(trials)]
    # Fifty calls of a slow kernel take longer than one question may.
    at_once = affordable_calls(seconds_per_call)
    parts = [turns[begin : begin + at_once] for begin in range(0, trials, at_once)]
    candidate_ms, reference_ms = (
        [ms for part in parts for ms in dock.series(part, side)] for side in ("candidate", "reference")
    )
    return sequential_timing(reference_ms, candidate_ms)
