"""Turns of two workers by the judge's clock, of which only one can run: what ``attestation`` measures with.

One turn: both workers are stopped; the judge writes new inputs into the slots; one worker goes on, calls its kernel
once on each slot, keeps the outputs and answers with their addresses; at that answer it is stopped with everything it
started, and the clock stops. The judge reads some of the outputs in the worker's own memory (``foreign``). So nothing
can be computed before the inputs are there, and nothing after the clock has stopped.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from random import SystemRandom
from typing import NamedTuple, NoReturn

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.bench import Bench, Drawn
from pytest_kernelbench.evaluation.clock.attestation import MOST_AROUND, Side
from pytest_kernelbench.evaluation.clock.quiet import ALWAYS_QUIET, Quiet
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.foreign import Place
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.leaving import Leaving
from pytest_kernelbench.evaluation.handles.racks import MOST_PAIRS, JudgeSlot
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.records import Outcome

# The answer of a turn's last call is always checked, since that call may still run when the worker answers, and so many
# of the others: to gain anything that counts, a candidate must skip one call in three.
CHECKED_AT_RANDOM = 1
# A wrong control means that an escaped process of the candidate has changed its inputs. The inputs are compared after
# every turn; the answers, each of which takes the judge a call, in this share of turns. A candidate that changes inputs
# and restores them, in half of the turns of two series of eleven, escapes once in 2,000.
CONTROL_CHECKED = 0.5
# How many turns of one call follow each other in a row, and the answers of how many are checked. To gain there, a
# candidate must skip half of the calls, which is found in two rows of three.
LONE_TURNS, LONE_TURNS_CHECKED = 6, 2
# Workers without a candidate that are kept for the next one: each holds weights, and on a GPU a context.
KEPT_CONTROLS = 2

_random = SystemRandom()


def calls_of_turn(session: WorkerSession, seconds_per_call: float) -> int:
    """How many calls make a turn that is long enough to be timed; no more than the memory has slots for."""
    seconds_per_turn = traits_of(session.bench.device).seconds_per_turn
    wanted = max(1, min(MOST_PAIRS, round(seconds_per_turn / seconds_per_call)))
    return session.rack.calls_in_memory(wanted)


class TakingTurns:
    """Two workers with their slots, stopped; see ``attestation.TwoProcesses``."""

    def __init__(self, candidate: WorkerSession, control: WorkerSession, calls: int) -> None:
        self._sessions: dict[Side, WorkerSession] = {"candidate": candidate, "control": control}
        self.calls = calls

    def turn(self, side: Side) -> float:
        """Seconds of one turn. Raises CandidateFailed, ControlFailed, DeviceBusy, CannotRead."""
        with self._errors_of(side):
            return self._turn(self._sessions[side])

    def lone_turns(self, side: Side) -> list[float]:
        """Seconds of some turns of one call in a row; answers are checked after the last. Raises as ``turn`` does."""
        with self._errors_of(side):
            return self._lone_turns(self._sessions[side])

    def _errors_of(self, side: Side) -> AbstractContextManager[None]:
        return nullcontext() if side == "candidate" else of_control()

    def empty_turn(self) -> float:
        """Seconds of a turn of the control without calls."""
        with of_control():
            done = self._sessions["control"].calls([])
        assert done is not None
        return done[0]

    def _turn(self, session: WorkerSession) -> float:
        asked = self._asked(session, _random.sample(list(session.slots[: self.calls]), self.calls))
        looked_at = sorted({self.calls - 1, *_random.sample(range(self.calls), CHECKED_AT_RANDOM)})
        some = [asked.slots[number] for number in looked_at]
        if (
            session is self._sessions["control"]
            and session is not self._sessions["candidate"]
            and _random.random() > CONTROL_CHECKED
        ):
            session.check_inputs(some, asked.drawn)
            return asked.seconds
        outputs = [session.read(asked.places[number]) for number in looked_at]
        session.check_outputs(some, outputs, asked.drawn)
        return asked.seconds

    def _lone_turns(self, session: WorkerSession) -> list[float]:
        slots = _random.sample(list(session.slots[: self.calls]), min(LONE_TURNS, self.calls))
        looked_at = _random.sample(slots, min(LONE_TURNS_CHECKED, len(slots)))
        seconds, kept = [], []
        for slot in slots:
            asked = self._asked(session, [slot])
            seconds.append(asked.seconds)
            if slot in looked_at:
                # Read now: the worker's next call frees the output. The slot's inputs stay.
                kept.append((slot, session.read(asked.places[0]), asked.drawn))
        for slot, outputs, drawn in kept:
            session.check_outputs([slot], [outputs], drawn)
        return seconds

    @staticmethod
    def _asked(session: WorkerSession, slots: Sequence[JudgeSlot]) -> _Asked:
        for _ in range(2):
            drawn = {slot.number: session.bench.refreshed() for slot in slots}
            for slot in slots:
                slot.refresh(drawn[slot.number])
            device_named(session.bench.device).settle()
            done = session.calls(slots)
            if done is not None:
                return _Asked(slots, drawn, *done)
        raise CandidateFailed(Outcome.VOID, "returns memory of an earlier output as a copy", ("forged_answer",))


class _Asked(NamedTuple):
    """One turn: its slots, what was written to them, its seconds, and where the worker has the outputs of each slot."""

    slots: Sequence[JudgeSlot]
    drawn: dict[int, Drawn]
    seconds: float
    places: list[list[Place]]


def _rehearsed(control: WorkerSession, candidate: WorkerSession, seconds_per_call: float, at_first: int) -> TakingTurns:
    """Both workers, warm and stopped, with slots for turns that are long enough.

    ``seconds_per_call`` is too long at first, because the first calls in a worker are slow, and the time around the
    calls of a turn is as long as 40 calls of 0.05 ms. So turns begin with ``at_first`` calls and grow until no more are
    wanted. The duration of a call is the geometric mean of both sides': where a candidate was 30 times as fast, turns
    of 20 ms of its calls were turns of 260 ms of the reference's.
    """
    calls, wanted = 0, at_first
    while wanted > calls:
        calls = wanted
        for session in (control, candidate):
            session.thaw()
            session.have_slots(calls)
            session.freeze()
        two = TakingTurns(candidate, control, calls)
        # One turn of each side, so that later turns use again the memory that it frees.
        turns_s = two.turn("control"), two.turn("candidate")
        around_s = two.empty_turn()
        of_calls_s = math.sqrt(math.prod(turn_s - min(around_s, MOST_AROUND * turn_s) for turn_s in turns_s))
        wanted = calls_of_turn(candidate, min(seconds_per_call, of_calls_s / calls))
    return two


def warm(session: WorkerSession, calls: int, *, times: int = 2) -> None:
    """Have a worker make its first calls, ``times`` on each side, with the slots for turns of ``calls`` calls."""
    slots = session.have_slots(calls)
    # With one slot, both sides use it.
    session.warm(slots[0], slots[-1], times=times)


@contextmanager
def _on_one_core(control: WorkerSession, candidate: WorkerSession) -> Iterator[None]:
    """A context in which two stopped workers are bound to one core, drawn at random, if the device's traits say so."""
    if not traits_of(candidate.bench.device).on_one_core:
        yield
        return
    cores = os.sched_getaffinity(0)
    one = {_random.choice(sorted(cores))}
    for session in (control, candidate):
        session.keep_to(one)
    try:
        yield
    finally:
        for session in (control, candidate):
            session.keep_to(cores)


class ControlFailed(Exception):
    """The reference, or the kernel that a candidate is to replace, failed in a worker of its own."""


@contextmanager
def of_control() -> Iterator[None]:
    """Marks errors of the control, as opposed to errors of the candidate."""
    try:
        yield
    except CandidateFailed as failure:
        raise ControlFailed(str(failure)) from failure


class Pairs:
    """Gives the two workers of each series: new ones for the candidate, and controls, of which some are kept.

    ``new_control()`` is a worker in which the reference is the candidate.
    """

    def __init__(self, bench: Bench, new_control: Callable[[], WorkerSession]) -> None:
        self._bench = bench
        self._new_control = new_control
        self._kept: list[WorkerSession] = []
        # Workers of series that are over.
        self._leaving = Leaving()
        # The number of calls in a turn of the last series.
        self._calls = 1

    def prepare(self) -> None:
        """Start the control of the first series, and warm it. Raises ControlFailed."""
        with of_control():
            if not self._kept:
                self._kept.append(self._new_control())
                warm(self._kept[0], 1)

    def close(self) -> None:
        """End all workers."""
        while self._kept:
            self._leaving.add(self._kept.pop())
        self.close_ended()

    def close_ended(self) -> None:
        """Wait for the end of the workers of series that are over."""
        self._leaving.wait()

    @contextmanager
    def two(
        self,
        number: int,
        candidate: Callable[[], WorkerSession],
        seconds_per_call: float,
        quiet: Quiet = ALWAYS_QUIET,
        *,
        stays: bool = False,
    ) -> Iterator[TakingTurns]:
        """Series ``number``: in every second one, the control was there before the candidate.

        The candidate's worker ends with the series, unless it ``stays`` for the caller to end.

        Before ``quiet`` begins, the workers start and make their first calls, and the workers of the series before have
        left the device. Raises CandidateFailed, ControlFailed and DeviceBusy.
        """
        # Before others may be timed.
        self.close_ended()
        if number:
            quiet.is_over()
        with ExitStack() as stack:
            if number % 2 == 0:
                own = self._candidate(candidate, stack, stays)
            control = stack.enter_context(self.control(number))
            if number % 2 == 1:
                own = self._candidate(candidate, stack, stays)
            at_first = self._calls if number else 1
            with of_control():
                warm(control, at_first)
            warm(own, at_first)
            with control.stopped(), own.stopped():
                quiet.begin()
                stack.enter_context(_on_one_core(control, own))
            two = _rehearsed(control, own, seconds_per_call, at_first)
            self._calls = two.calls
            yield two

    def _candidate(self, candidate: Callable[[], WorkerSession], stack: ExitStack, stays: bool) -> WorkerSession:
        session = candidate()
        if not stays:
            stack.callback(self._leaving.add, session)
        return session

    @contextmanager
    def control(self, number: int) -> Iterator[WorkerSession]:
        """The control of series ``number``. It may be stopped: a request wakes it for as long as it answers."""
        with of_control():
            while number >= len(self._kept) and len(self._kept) < KEPT_CONTROLS:
                self._kept.append(self._new_control())
            control = self._kept[number] if number < KEPT_CONTROLS else self._new_control()
        try:
            yield control
        finally:
            if number >= KEPT_CONTROLS:
                self._leaving.add(control)
            else:
                # Unused memory that torch keeps in a control may be missing for a candidate.
                with of_control():
                    control.leave_room()

    def must_work_alone(self, failure: ControlFailed) -> NoReturn:
        """Try the reference, which failed beside a candidate, in a worker that is alone.

        Raises HarnessError where it fails again, and else CandidateFailed.
        """
        self.close()
        try:
            with closing(self._new_control()) as control:
                slots = control.have_slots(1)
                control.freeze()
                TakingTurns(control, control, len(slots)).turn("candidate")
        except CandidateFailed as again:
            raise HarnessError(
                f"{self._bench.task_id}: the reference fails its own trial ({again}); check the task"
            ) from again
        raise CandidateFailed(
            Outcome.VOID, f"the reference fails beside it, and not alone: {failure}", ("works_unasked",)
        ) from None
