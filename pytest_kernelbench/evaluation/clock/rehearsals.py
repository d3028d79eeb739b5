"""What precedes the first timed turn of a series: workers are warmed, and turns get their number of calls.

Where other trials use the device meanwhile, as much of that as possible happens beside them, untimed: a trial that has
the device alone keeps them waiting.
"""

from __future__ import annotations

import math

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.clock.estimates import MOST_AROUND
from pytest_kernelbench.evaluation.clock.turns import TakingTurns, most_unchecked, of_control
from pytest_kernelbench.evaluation.correctness.widened import bytes_of
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.handles.racks import MOST_PAIRS
from pytest_kernelbench.evaluation.handles.session import WorkerSession

# In turns of at most so many calls, a call is long against what a turn is usually late by (2 to 5 ms on an H200).
LONG_CALLS = 4
# Turns grow only by this factor or more: each number of calls takes two turns, and the first with new slots is slow.
GROWTH = 1.25
# An untimed turn's answers are not checked, so a candidate could answer at once, and its timed turns would be long.
MOST_BELIEVED = 16
# So many calls of a series of 22 pairs are copied.
COPIES_OF_SERIES = 88


def calls_of_turn(session: WorkerSession, seconds_per_call: float) -> int:
    """How many calls make a turn that is long enough to be timed; no more than the memory has slots for."""
    return session.rack.calls_in_memory(_wanted_calls(session.bench.device, seconds_per_call))


def _wanted_calls(device: str, seconds_per_call: float) -> int:
    """How many calls make a turn that is long enough to be timed, whatever the memory has slots for."""
    return max(1, min(MOST_PAIRS, round(traits_of(device).seconds_per_turn / seconds_per_call)))


def warm(session: WorkerSession, calls: int, *, times: int = 2) -> None:
    """Have a worker make its first calls, ``times`` on each side, with the slots for turns of ``calls`` calls."""
    ahead = max(calls, session.rack.calls_ahead)
    slots = session.have_slots(ahead)
    session.hold_outputs(ahead)
    # With one slot, both sides use it.
    session.warm(slots[0], slots[-1], times=times)


def rehearsed_beside_others(control: WorkerSession, candidate: WorkerSession, calls: int, *, grows: bool) -> int:
    """The number of calls in the first turn of two ``warm`` workers, which have made such a turn, untimed.

    Turns of ``calls`` calls; if the number ``grows``, more where calls are shorter. Beside other trials they are not
    shorter than alone, so timed turns of the number that is returned are not too long. Where a device is never shared
    it is ``calls``.
    """
    device = candidate.bench.device
    if not traits_of(device).trials_beside_others:
        return calls
    while True:
        with of_control():
            control_s = _rehearsed_twice(control, calls)
        candidate_s = max(_rehearsed_twice(candidate, calls), control_s / MOST_BELIEVED)
        more = _more_calls(candidate, calls, math.sqrt(control_s * candidate_s) / calls) if grows else None
        if more is None:
            return calls
        calls = more
        _both_have_slots(control, candidate, calls)


def _rehearsed_twice(session: WorkerSession, calls: int) -> float:
    """Seconds of an untimed turn of so many calls, the shorter of two: the first also takes memory."""
    return min(session.rehearse(session.slots[:calls]) for _ in range(2))


def hold_copies(bench: Bench) -> None:
    """Have this process take memory for the copies of a series at once, and for one answer.

    One copy in two took memory of its own: 11 of 100 s in which eight judges had an H200 alone.
    """
    sizes = [*bench.bytes_by_input, *(bytes_of([each]) for each in bench.example_outputs)]
    copies = min(COPIES_OF_SERIES, int(most_unchecked(bench.device) / (sum(sizes) + 1)))
    device_named(bench.device).hold_for([*sizes * copies, bench.bytes_to_answer])


def rehearsed_alone(
    control: WorkerSession, candidate: WorkerSession, calls: int, seconds_per_call: float | None
) -> TakingTurns:
    """Both workers, which are ``warm``, stopped, with slots for turns that are long enough.

    Turns have ``calls`` calls where a series before has found that. Else ``seconds_per_call`` is too long at first,
    because the first calls in a worker are slow, and the time around the calls of a turn is as long as 40 calls of 0.05
    ms. So turns begin with ``calls`` calls and grow until no more are wanted. Where that is decided by short calls, a
    second turn must say so too: after one that was late, the turns of a claim had 11 calls in place of 111.
    """
    two = TakingTurns(candidate, control, calls, most_unchecked=most_unchecked(candidate.bench.device))
    for session in (control, candidate):
        session.freeze()
    found = _seconds_per_call(two)
    if seconds_per_call is None:
        return two
    shortest = min(seconds_per_call, found)
    while True:
        if not _grown(two, candidate, control, shortest):
            if not LONG_CALLS < two.calls < MOST_PAIRS:
                return two
            shortest = min(shortest, _seconds_per_call(two))
            if not _grown(two, candidate, control, shortest):
                return two
        shortest = min(shortest, _seconds_per_call(two))


def _grown(two: TakingTurns, candidate: WorkerSession, control: WorkerSession, seconds_per_call: float) -> bool:
    """Whether turns can have, and now have, more calls than before, because calls are this short."""
    more = _more_calls(candidate, two.calls, seconds_per_call)
    if more is None:
        return False
    two.calls = more
    _both_have_slots(control, candidate, more)
    return True


def _more_calls(candidate: WorkerSession, calls: int, seconds_per_call: float) -> int | None:
    """How many calls turns of ``calls`` calls grow to, because calls are this short; None if they do not."""
    wanted = _wanted_calls(candidate.bench.device, seconds_per_call)
    if wanted < GROWTH * calls:
        # To ask for free memory takes a GPU's driver up to 14 ms.
        return None
    found = candidate.rack.calls_in_memory(wanted)
    return None if found < GROWTH * calls else found


def _both_have_slots(control: WorkerSession, candidate: WorkerSession, calls: int) -> None:
    with of_control():
        _have_slots(control, calls)
    _have_slots(candidate, calls)


def _have_slots(session: WorkerSession, calls: int) -> None:
    if len(session.slots) < calls:
        session.have_slots(calls)
        session.hold_outputs(calls)


def _seconds_per_call(two: TakingTurns) -> float:
    """Of one turn of each side, after which later turns use again the memory that it frees.

    The geometric mean of both sides: where a candidate was 30 times as fast, turns of 20 ms of its calls were turns of
    260 ms of the reference's.
    """
    turns_s = two.turn("control"), two.turn("candidate")
    around_s = two.empty_turn()
    return math.sqrt(math.prod(turn_s - min(around_s, MOST_AROUND * turn_s) for turn_s in turns_s)) / two.calls
