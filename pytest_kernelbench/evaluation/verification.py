"""A timing that claims to be faster is put to the test, beside a control: the reference on trial against itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.dock import CandidateFailed, Dock
from pytest_kernelbench.evaluation.neighbours import Neighbours
from pytest_kernelbench.evaluation.plausibility import (
    BY_THE_CLOCK,
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
    SWEEPS,
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
from pytest_kernelbench.evaluation.timing import Timing, median_interval, paired_timing
from pytest_kernelbench.records import Outcome

# A saving is seen for sure when this interval of the median says so, and the sweeps took this long. On a CPU, a fifth
# of it used by others in bursts, so a forged saving was seen in none of 247 series of 160 sweeps, without waiting for
# a second in one, and at 99 % in six; that of an honest kernel in 50 of 54.
SURE = 0.9999
SECONDS_TO_BE_SURE = 1.0
SWEEPS_TO_BE_SURE = 15
SWEEPS_TO_ACQUIT = 5
LOOK_AFTER_MORE = 1.2
# Of the shortest; of others there are as many as there is time for.
MOST_SWEEPS = 1000
CHECKED_SWEEPS = 3
COLD_BLOCKS = 2
BLOCKS_TO_CONVICT = 8


@dataclass(frozen=True, slots=True)
class Control:
    """What one call of the reference takes when nobody interferes, and what the harness does around a call.

    ``least_ms`` among calls like itself; ``most_ms`` beside a neighbour that leaves it nothing in a CPU's caches, up to
    twice as long.
    """

    least_ms: float
    most_ms: float
    around_call_ms: float
    around_pair_ms: float
    busy_ms: float | None

    @classmethod
    def measured(
        cls,
        warm: Sequence[Block],
        cold: Sequence[Block],
        wall_ms: float,
        busy_ms: float | None,
        *,
        in_favour: bool = False,
    ) -> Control:
        """From blocks of pairs, the wall time of a call and its surroundings, and the profiler's record of a call.

        ``in_favour``: with each doubt in favour of who is held against it. Its calls count for as short as the shortest
        was, and what surrounds its pairs for as much as it ever was.
        """
        call_ms = (min if in_favour else median)(_calls_ms(warm))
        return cls(
            least_ms=call_ms,
            most_ms=max(median(_calls_ms(blocks)) for blocks in (warm, cold) if blocks),
            around_call_ms=max(0.0, wall_ms - call_ms),
            around_pair_ms=(max if in_favour else median)([each.around_pair_ms for each in warm]),
            busy_ms=busy_ms,
        )


def _calls_ms(control: Sequence[Block]) -> list[float]:
    return [ms for each in control for ms in each.ms["reference_ms"] + each.ms["candidate_ms"]]


class Record(NamedTuple):
    """Of one call, what the profiler saw; ``wall_ms`` is the judge's time of one, and of what surrounds it."""

    busy_ms: float | None
    wall_ms: float | None


class TurnsTaken(NamedTuple):
    """Sweeps of a candidate and of the control, each right after the other, and how long all of them took."""

    own_ms: list[float]
    control_ms: list[float]
    seconds: float

    def saving_ms(self) -> tuple[float, float]:
        """By how much the candidate's were shorter: at least, and at most."""
        saved_ms = [theirs - ours for ours, theirs in zip(self.own_ms, self.control_ms, strict=True)]
        interval = median_interval(saved_ms, SURE) if self.seconds >= SECONDS_TO_BE_SURE else None
        return interval or (-math.inf, math.inf)


def taking_turns(dock: Dock, control_dock: Dock, calls: int) -> Iterator[TurnsTaken]:
    """Sweeps of ``calls`` each, all that were made so far."""
    own_ms: list[float] = []
    control_ms: list[float] = []
    started = time.perf_counter()
    for ms in sweeps(dock, dock.slots[:calls], least=SWEEPS_TO_BE_SURE, most=MOST_SWEEPS):
        own_ms.append(ms)
        dock.give_room()
        with dock.idle(), of_control():
            control_ms.append(sweep(control_dock, control_dock.slots[:calls]))
        yield TurnsTaken(own_ms, control_ms, time.perf_counter() - started)


def weigh(
    turns: Iterator[TurnsTaken], objection: Callable[[TurnsTaken, bool], Suspicion | None]
) -> tuple[Suspicion | None, str | None]:
    """What a candidate is suspected of, and where that is not certain, why.

    ``objection(taken, in_favour)`` says what speaks against the candidate, with each doubt counted against it or in its
    favour. Who claims to be fast has to show it: no objection with the doubts against it acquits, and one that stands
    with the doubts in its favour convicts.
    """
    next_look = SWEEPS_TO_ACQUIT
    for taken in turns:
        n = len(taken.own_ms)
        if n < next_look:
            continue
        next_look = max(n + 1, int(LOOK_AFTER_MORE * n))
        if (doubt := objection(taken, False)) is None:
            return None, None
        proof = objection(taken, True)
        if proof is not None and n >= SWEEPS:
            break
    if proof is not None:
        return proof, None
    return doubt, "the judge's clock saw it save {:.3g} to {:.3g} ms a call, too rough to tell".format(
        *taken.saving_ms()
    )


class Retrial(NamedTuple):
    """What a suspect's second timing says, if it claims to be fast again, and what disturbed it, if anything did."""

    measured: Measured
    suspicion: Suspicion | None
    claims: bool
    disturbance: str | None

    @property
    def excuse(self) -> str | None:
        """Why the suspicion convicts nobody."""
        by_the_clock = self.suspicion is not None and self.suspicion.flag in BY_THE_CLOCK
        return self.disturbance if by_the_clock else None


def decide(retrials: Iterator[Retrial]) -> tuple[Measured, Suspicion | None]:
    """The timing that counts, and what convicts the candidate; as many retrials are made as that needs.

    Convicted is who is suspect twice, and who is so once must be found innocent twice: on a busy machine one retrial in
    thirty is mistaken, either way. So must who is timed while others use the cores; there, who is suspect twice by the
    clock alone is not convicted, and has nothing from his claim. Who drops it has nothing from it either, whatever was
    found before.
    """
    suspect = innocent = excused = 0
    doubtful = False
    for again in retrials:
        if again.suspicion is None and not again.claims:
            return again.measured, None
        doubtful = doubtful or again.suspicion is not None or again.disturbance is not None
        innocent += again.suspicion is None
        excused += again.excuse is not None
        suspect += again.suspicion is not None and again.excuse is None
        if suspect == 2 or innocent == 1 + doubtful:
            return again.measured, again.suspicion
        if excused == 2:
            return again.measured.without_claim(again.excuse), None
    raise AssertionError("retrials never end")


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
                dock.give_room()
                with dock.idle(), of_control():
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
                suspicion, uncertainty = self._confront(dock, control_dock, measured, warm, calls)
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
            control_ms = min(_calls_ms(warm))
            if hidden_in_pairs(timing, around_pair_ms, control_around_ms, control_ms, self._bench.device) is None:
                break
            around_pair_ms = min(around_pair_ms, block(dock, list(dock.slots)).around_pair_ms)
            time_control()
        return measured._replace(around_pair_ms=around_pair_ms)

    def _confront(
        self, dock: Dock, control_dock: Dock, measured: Measured, warm: Sequence[Block], calls: int
    ) -> tuple[Suspicion | None, str | None]:
        """What ``weigh`` says of a timing, beside ``warm`` blocks of the control and in sweeps of so many calls."""
        cold: list[Block] = []
        if slowed_reference(measured.timing, median(_calls_ms(warm)), self._bench.device) is not None:
            # Only where they may acquit: one takes as long as four warm ones.
            dock.give_room()
            with dock.idle(), of_control():
                cold = [block(control_dock, list(control_dock.slots), cold=True) for _ in range(COLD_BLOCKS)]
        record = self._recorded(dock, measured.timing)
        with of_control():
            control_busy_ms = self._busy(control_dock)

        def objection(taken: TurnsTaken, in_favour: bool) -> Suspicion | None:
            measure = partial(Control.measured, warm, cold, min(taken.control_ms), control_busy_ms)
            self._known_control = measure()
            seen_ms = taken.saving_ms()[in_favour]
            return self._objection(measured, record, min(taken.own_ms), measure(in_favour=in_favour), seen_ms)

        return weigh(taking_turns(dock, control_dock, calls), objection)

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
            control_ms = min(control.least_ms, timing.reference_ms)
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


def lesser(*timings: Timing) -> Timing:
    """The one that claims less."""
    return min(timings, key=lambda timing: timing.claim)


class ControlFailed(Exception):
    """The reference failed its own trial."""


@contextmanager
def of_control() -> Iterator[None]:
    """What goes wrong in here is told apart from what the candidate does wrong."""
    try:
        yield
    except CandidateFailed as failure:
        raise ControlFailed(str(failure)) from failure
