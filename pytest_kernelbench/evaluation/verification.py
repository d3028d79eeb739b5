"""A timing that claims to be faster is put to the test, beside a control: the reference on trial against itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from statistics import median
from typing import NamedTuple

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.control import Control, ControlFailed, calls_ms, of_control, turn_of_control
from pytest_kernelbench.evaluation.dock import CandidateFailed, Dock
from pytest_kernelbench.evaluation.neighbours import Neighbours
from pytest_kernelbench.evaluation.plausibility import (
    CLOCKS_AGREE_WITHIN,
    Suspicion,
    beyond_physics,
    clock_disagreement,
    hidden_in_pairs,
    hidden_work,
    longest_busy_ms,
    longest_sweep_ms,
    slowed_reference,
    unseen_saving,
)
from pytest_kernelbench.evaluation.timekeeping import (
    SECONDS_PER_BLOCK,
    Block,
    Measured,
    Timekeeper,
    block,
    calls_of_sweep,
    random,
    shortest_sweep,
    slots_of_block,
    slots_to_time,
    sweep,
    sweeps,
)
from pytest_kernelbench.evaluation.timing import Timing, paired_timing
from pytest_kernelbench.evaluation.weighing import MOST_SWEEPS, SWEEPS_TO_BE_SURE, Retrial, TurnsTaken, weigh
from pytest_kernelbench.records import Outcome

CHECKED_SWEEPS = 3
COLD_BLOCKS = 2
BLOCKS_TO_CONVICT = 8


class Record(NamedTuple):
    """Of one call, what the profiler saw; ``wall_ms`` is the judge's time of one, and of what surrounds it."""

    busy_ms: float | None
    wall_ms: float | None


def taking_turns(dock: Dock, control_dock: Dock, calls: int, *, cpu_time: bool) -> Iterator[TurnsTaken]:
    """Sweeps of ``calls`` each, all that were made so far; ``cpu_time``: what they used of it is asked as well."""
    started = time.perf_counter()
    taken = TurnsTaken([], [], [], [], 0.0)
    asked = ((dock, taken.own_cpu_ms), (control_dock, taken.control_cpu_ms)) if cpu_time else ()
    used_s = [each.spent_seconds() for each, _ in asked]
    for ms in sweeps(dock, dock.slots[:calls], least=SWEEPS_TO_BE_SURE, most=MOST_SWEEPS):
        taken.own_ms.append(ms)
        with turn_of_control(dock):
            taken.control_ms.append(sweep(control_dock, control_dock.slots[:calls]))
        before_s, used_s = used_s, [each.spent_seconds() for each, _ in asked]
        for (_, cpu_ms), before, used in zip(asked, before_s, used_s, strict=True):
            cpu_ms.append(1e3 * (used - before) / calls)
        yield taken._replace(seconds=time.perf_counter() - started)


class Verifier:
    """Verifies the timings of one task's candidates; the control is measured when it is first needed.

    ``control_dock`` gives a worker that no candidate was ever in, with the reference as its candidate.
    """

    def __init__(
        self, bench: Bench, timekeeper: Timekeeper, control_dock: Callable[[], AbstractContextManager[Dock]]
    ) -> None:
        self._bench = bench
        self._timekeeper = timekeeper
        self._control_dock = control_dock
        self._known_control: Control | None = None

    def is_suspect(self, dock: Dock, measured: Measured) -> bool:
        """Whether a timing must be made again before it counts."""
        timing = measured.timing
        if measured.late is not None:
            # Of 192 references on H100s, one was 0.035 ms late as the candidate and not as the reference.
            return True
        if not self._claims_to_be_fast(timing):
            return self._beyond_physics(timing) is not None
        if self._bench.device == "cpu" and timing.speedup_low is not None:
            # One core's reference took 0.75 to 1.33 ms within a minute: a control of another moment says nothing.
            return True
        # As many calls to a sweep as the control makes: they share what surrounds a question, up to a millisecond.
        slots_of_block(dock, self._bench.seconds_per_call)
        record = self._recorded(dock, timing)
        # On a GPU the clock must see the saving itself.
        agreeing = CLOCKS_AGREE_WITHIN if self._bench.device == "cpu" else 1.0
        wall_ms = shortest_sweep(dock, agreeing * timing.candidate_ms)
        if self._known_control is None:
            with self._control_beside(dock) as control_dock, dock.idle(), of_control():
                slots = slots_to_time(control_dock, self._bench.seconds_per_call)
                self._known_control = Control.measured(
                    warm=[block(control_dock, slots) for _ in range(2)],
                    cold=(),
                    wall_ms=shortest_sweep(control_dock, 0.0),
                    busy_ms=self._busy(control_dock),
                )
        control = self._known_control
        objection = self._objection(measured, record, wall_ms, control)
        return objection is not None or not self._is_supported(timing, control)

    def retrial(self, dock: Dock, seconds_per_call: float) -> Retrial:
        """Time a suspect again, in a new worker and taking turns with the control.

        Neither one slow moment of the machine must convict, nor one slow process: of 20 processes on an H100, one's
        host needed 0.035 ms longer for each call of the reference, of 0.57 ms. Who behaves well only now has nothing
        from it: what counts is this timing, against its own reference or the control, whichever says less.
        """
        warm: list[Block] = []
        # As many pairs in a block of one as in a block of the other.
        seconds_per_call = max(seconds_per_call, self._bench.seconds_per_call)
        with self._control_beside(dock) as control_dock:
            with of_control():
                slots = slots_to_time(control_dock, seconds_per_call)
            neighbours = Neighbours(lambda: time.process_time() + dock.spent_seconds() + control_dock.spent_seconds())

            def time_control() -> None:
                with turn_of_control(dock):
                    warm.append(block(control_dock, slots))

            measured = self._timekeeper.measure(dock, seconds_per_call, time_control)
            counted = measured.timing
            if counted.speedup_low is not None:
                counted = lesser(counted, beside_control(counted, warm))
            claims, disturbance = self._claims_to_be_fast(measured.timing), None
            suspicion = measured.late or self._beyond_physics(measured.timing)
            if suspicion is None and claims:
                measured = self._seen_among_pairs(dock, measured, warm, time_control)
                calls = calls_of_sweep(seconds_per_call, self._bench.device)
                suspicion, uncertainty = self._confront(dock, control_dock, measured, warm, calls, neighbours)
                disturbance = neighbours.disturbance() or uncertainty
        return Retrial(measured._replace(timing=counted), suspicion, claims, disturbance)

    def _seen_among_pairs(
        self, dock: Dock, measured: Measured, warm: Sequence[Block], time_control: Callable[[], None]
    ) -> Measured:
        """With the least that surrounds a pair, of so many blocks that it is not a burst of somebody else's work.

        Of an honest kernel of 0.25 ms beside such bursts, one block had 2.1 ms around a pair and the control's 1.1.
        """
        timing, started = measured.timing, time.perf_counter()
        around_pair_ms = measured.around_pair_ms
        while len(warm) < BLOCKS_TO_CONVICT and time.perf_counter() - started < SECONDS_PER_BLOCK:
            control_around_ms = max(each.around_pair_ms for each in warm)
            control_ms = min(calls_ms(warm))
            if hidden_in_pairs(timing, around_pair_ms, control_around_ms, control_ms, self._bench.device) is None:
                break
            around_pair_ms = min(around_pair_ms, block(dock, list(dock.slots)).around_pair_ms)
            time_control()
        return measured._replace(around_pair_ms=around_pair_ms)

    def _confront(
        self,
        dock: Dock,
        control_dock: Dock,
        measured: Measured,
        warm: Sequence[Block],
        calls: int,
        neighbours: Neighbours,
    ) -> tuple[Suspicion | None, str | None]:
        """What ``weigh`` says of a timing, beside ``warm`` blocks of the control and in sweeps of so many calls."""
        on_cpu = self._bench.device == "cpu"
        cold: list[Block] = []
        if slowed_reference(measured.timing, median(calls_ms(warm)), self._bench.device) is not None:
            # Only where they may acquit: one takes as long as four warm ones.
            with turn_of_control(dock):
                cold = [block(control_dock, list(control_dock.slots), cold=True) for _ in range(COLD_BLOCKS)]
        record = self._recorded(dock, measured.timing)
        with of_control():
            control_busy_ms = self._busy(control_dock)

        def objection(taken: TurnsTaken, in_favour: bool) -> Suspicion | None:
            wall_ms = min(taken.control_ms)
            control = Control.measured(warm, cold, wall_ms, control_busy_ms, in_favour=in_favour)
            if not in_favour:
                self._known_control = control
            if on_cpu and neighbours.disturbance() is not None:
                saving_ms = taken.saving_beside_others_ms(lesser_reference_ms(measured.timing, control))
            else:
                saving_ms = taken.saving_ms()
            return self._objection(measured, record, min(taken.own_ms), control, saving_ms[in_favour])

        return weigh(taking_turns(dock, control_dock, calls, cpu_time=on_cpu), objection)

    @contextmanager
    def _control_beside(self, dock: Dock) -> Iterator[Dock]:
        """A control that shares its slots with ``dock``: where it fails there and not alone, the candidate interferes.

        Raises HarnessError where it fails alone as well.
        """
        try:
            with ExitStack() as stack:
                dock.give_room()
                with of_control():
                    control_dock = stack.enter_context(self._control_dock())
                yield control_dock
        except ControlFailed as failure:
            dock.close()
            try:
                with self._control_dock() as control_dock:
                    block(control_dock, slots_to_time(control_dock, self._bench.seconds_per_call))
            except CandidateFailed as again:
                raise HarnessError(
                    f"{self._bench.task_id}: the reference fails its own trial ({again}); check the task"
                ) from again
            raise CandidateFailed(
                Outcome.VOID, f"the reference fails beside it, and not alone: {failure}", ("works_unasked",)
            ) from None

    def _beyond_physics(self, timing: Timing) -> Suspicion | None:
        found = beyond_physics(timing, self._bench.floor_ms, self._bench.device)
        if found is not None:
            # The machine may have been busy when the floor was measured.
            self._bench.lower_floor()
            found = beyond_physics(timing, self._bench.floor_ms, self._bench.device)
        return found

    def _claims_to_be_fast(self, timing: Timing) -> bool:
        """Who would not count as fast gains nothing by lying, and is not put to the test."""
        return timing.claim > 1 + self._timekeeper.margin

    def _is_supported(self, timing: Timing, control: Control) -> bool:
        """Whether a claim holds beside the control as well."""
        # A series of calls is beside nothing: what its mean is worth is what a protocol that asks for it is to show.
        return timing.speedup_low is None or self._claims_to_be_fast(timing.against(control.least_ms))

    def _recorded(self, dock: Dock, timing: Timing) -> Record:
        """What the profiler records of a call, and where that is too much, what the judge's clock sees of others."""
        busy_ms = self._busy(dock)
        if busy_ms is None or busy_ms <= longest_busy_ms(timing):
            return Record(busy_ms, None)
        return Record(busy_ms, min(sweep(dock, dock.slots, every_answer=True) for _ in range(CHECKED_SWEEPS)))

    def _busy(self, dock: Dock) -> float | None:
        """The profiler's record of a call on new inputs; its answer is checked, so that nothing can be left out."""
        if self._bench.device == "cpu":
            # The profiler tells no kernels there, and its start takes as long as some trials.
            return None
        slot = random.choice(dock.slots)
        drawn = dock.refresh([slot])
        busy_ms = dock.profile(slot).busy_ms
        dock.check_timed([slot], drawn)
        return busy_ms

    def _objection(
        self,
        measured: Measured,
        record: Record,
        wall_ms: float,
        control: Control,
        seen_ms: float | None = None,
    ) -> Suspicion | None:
        """``seen_ms``: by how much sweeps are taken to be shorter than the control's, where the two took turns."""
        timing, device = measured.timing, self._bench.device
        found = measured.late or self._beyond_physics(timing)
        if found is not None or not self._claims_to_be_fast(timing):
            return found
        own_ms = wall_ms - control.around_call_ms
        checked_ms = None if record.wall_ms is None else record.wall_ms - control.around_call_ms
        control_ms, by_saving_ms = control.least_ms, own_ms
        if device == "cpu" and seen_ms is not None:
            # A CPU that runs faster for a moment would make the shortest sweep look like a saving.
            control_ms = lesser_reference_ms(timing, control)
            by_saving_ms = control_ms - seen_ms
        # A series of calls on a CPU may be of another moment.
        sees_savings = device == "cuda" or timing.speedup_low is not None
        return (
            hidden_work(timing, record.busy_ms, control.busy_ms, checked_ms)
            or clock_disagreement(timing, min(own_ms, by_saving_ms), longest_sweep_ms(timing, device))
            or (unseen_saving(timing, by_saving_ms, control_ms, device) if sees_savings else None)
            or hidden_in_pairs(timing, measured.around_pair_ms, control.around_pair_ms, control.least_ms, device)
            or slowed_reference(timing, control.most_ms, device)
        )


def beside_control(timing: Timing, warm: Sequence[Block]) -> Timing:
    """A candidate's calls against those of the control, which took turns with them, block by block."""
    control_ms = [
        math.sqrt(one * other)
        for each in warm
        for one, other in zip(each.ms["reference_ms"], each.ms["candidate_ms"], strict=True)
    ]
    return paired_timing(control_ms, timing.candidate_times_ms)


def lesser_reference_ms(timing: Timing, control: Control) -> float:
    """What a call of the reference takes, by what says less."""
    return min(control.least_ms, timing.reference_ms)


def lesser(*timings: Timing) -> Timing:
    """The one that claims less."""
    return min(timings, key=lambda timing: timing.claim)
