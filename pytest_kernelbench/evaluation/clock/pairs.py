"""Gives a measurement the two workers of each series: one of the candidate, and a control."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from random import SystemRandom
from typing import NoReturn

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.clock.quiet import ALWAYS_QUIET, Quiet
from pytest_kernelbench.evaluation.clock.rehearsals import (
    calls_of_turn,
    hold_copies,
    rehearsed_alone,
    rehearsed_beside_others,
    warm,
)
from pytest_kernelbench.evaluation.clock.turns import ControlFailed, TakingTurns, of_control
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.device_room import is_short_of_memory
from pytest_kernelbench.evaluation.handles.leaving import Leaving
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.evaluation.sharing.holds import has_company
from pytest_kernelbench.evaluation.shortage import is_for_memory
from pytest_kernelbench.records import Outcome

# Workers without a candidate that are kept for the next one: each holds weights, and on a GPU a context.
KEPT_CONTROLS = 2

_random = SystemRandom()


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


class Pairs:
    """Gives the two workers of each series: new ones for the candidate, and controls, of which some are kept.

    ``new_control()`` is a worker in which the reference is the candidate. ``part_with`` gets each control that is not
    needed any more; without it, they end.
    """

    def __init__(
        self,
        bench: Bench,
        new_control: Callable[[], WorkerSession],
        part_with: Callable[[WorkerSession], None] | None = None,
    ) -> None:
        self._bench = bench
        self._new_control = new_control
        self._kept: list[WorkerSession] = []
        # Workers of series that are over.
        self._leaving = Leaving()
        self._part_with = self._leaving.add if part_with is None else part_with
        # The number of calls in a turn of the last series.
        self._calls = 1

    def prepare(self) -> None:
        """Start the control of the first series, and warm it. Raises ControlFailed."""
        with of_control():
            if not self._kept:
                self._kept.append(self._new_control())
                warm(self._kept[0], 1)

    def hand_over(self) -> None:
        """Part with the controls."""
        while self._kept:
            self._part_with(self._kept.pop())
        self.close_ended()

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
        left the device. After the series quiet is over, and outputs that were not compared yet are. Raises
        CandidateFailed, ControlFailed and DeviceBusy.
        """
        # Before others may be timed.
        self.close_ended()
        with ExitStack() as stack:
            if number % 2 == 0:
                own = self._candidate(candidate, stack, stays)
            control = stack.enter_context(self.control(number))
            if number % 2 == 1:
                own = self._candidate(candidate, stack, stays)
            at_first = max(self._calls if number else 1, calls_of_turn(own, seconds_per_call))
            with of_control():
                warm(control, at_first)
            warm(own, at_first)
            at_first = rehearsed_beside_others(control, own, at_first, grows=number == 0)
            hold_copies(own.bench)
            with control.stopped(), own.stopped():
                quiet.begin()
                stack.enter_context(_on_one_core(control, own))
            two = rehearsed_alone(control, own, at_first, None if number else seconds_per_call)
            self._calls = two.calls
            yield two
            quiet.is_over()
            two.check_outputs()

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
        part_with = self._leaving.add
        try:
            yield control
            part_with = self._part_with
        finally:
            if number >= KEPT_CONTROLS:
                part_with(control)
            elif is_short_of_memory(device_named(control.bench.device)):
                # Unused memory that torch keeps in a control may be missing for a candidate. With enough free it stays,
                # and with it what this process has opened: to take and to open it again takes 0.2 s beside nine judges.
                with of_control():
                    control.leave_room()

    @contextmanager
    def last_control(self) -> Iterator[WorkerSession]:
        """A control that ends afterwards, for what would make its later calls slower or faster."""
        with of_control():
            control = self._kept.pop() if self._kept else self._new_control()
        try:
            yield control
        finally:
            self._leaving.add(control)

    def must_work_alone(self, failure: ControlFailed) -> NoReturn:
        """Try the reference, which failed beside a candidate, in a worker that is alone.

        Raises HarnessError where it fails again, and else CandidateFailed: void, unless it may be others that left the
        reference no memory or no time. The trial is then repeated without them.
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
        cause = failure.__cause__
        assert isinstance(cause, CandidateFailed)
        if is_for_memory(cause):
            raise CandidateFailed(Outcome.RUNTIME_ERROR, f"leaves the reference no memory: {failure}") from None
        if cause.outcome is Outcome.TIMEOUT and has_company():
            raise CandidateFailed(Outcome.TIMEOUT, f"leaves the reference no time: {failure}") from None
        raise CandidateFailed(
            Outcome.VOID, f"the reference fails beside it, and not alone: {failure}", ("works_unasked",)
        ) from None
