"""Verifies a worker's timing: looks for evidence of cheating, and measures a claim by the judge's own clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.clock.alone import not_borne_out
from pytest_kernelbench.evaluation.clock.attestation import DISTURBING_SHARE, Verdict, measure, plan_for
from pytest_kernelbench.evaluation.clock.estimates import Estimate, student_at
from pytest_kernelbench.evaluation.clock.freezing import DeviceBusy
from pytest_kernelbench.evaluation.clock.neighbours import Neighbours, NeighboursOfSeries
from pytest_kernelbench.evaluation.clock.pairs import Pairs
from pytest_kernelbench.evaluation.clock.plausibility import Suspicion, beyond_physics
from pytest_kernelbench.evaluation.clock.quiet import ALWAYS_QUIET, Quiet
from pytest_kernelbench.evaluation.clock.timekeeping import random
from pytest_kernelbench.evaluation.clock.timing import Timing
from pytest_kernelbench.evaluation.clock.turns import ControlFailed, TakingTurns, of_control
from pytest_kernelbench.evaluation.device.foreign import CannotRead
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.evaluation.sharing.holds import has_company

# A floor that a timing is beyond is measured so often again. On two cores with eight busy programs, it came out up to
# seven times too high twice in a row, and honest kernels were void.
FLOORS_IN_DOUBT = 4
BETWEEN_FLOORS_S = 0.2
UNRECORDED = Suspicion("unrecorded_kernels", "its kernels leave no record, and those of the reference do")


@dataclass(frozen=True, slots=True)
class Attested:
    """The judge's measurement of a claim (None: there is none), whether the claim counts, and if not, why."""

    estimate: Estimate | None
    counted: bool
    because: str = ""

    def to_json(self) -> dict[str, Any]:
        """Fields of ``Evaluation``."""
        told: dict[str, Any] = {"counted": self.counted, "uncounted_because": self.because}
        if self.estimate is not None and self.estimate.low > 0:
            told |= {
                "attested": self.estimate.speedup,
                "attested_low": self.estimate.low,
                "attested_high": self.estimate.high if math.isfinite(self.estimate.high) else None,
            }
        return told


class Verifier:
    """Verifies the timings of one task's candidates; ``pairs`` keeps control workers from one to the next."""

    def __init__(self, bench: Bench, margin: float, pairs: Pairs) -> None:
        self._bench = bench
        self._margin = margin
        self._pairs = pairs
        # None: not known yet.
        self._control_is_recorded: bool | None = None

    def prepare(self) -> None:
        """Start the control workers, so that they need not be started while the device is held alone.

        Raises HarnessError where the reference fails: beside others, it may have lacked memory or time.
        """
        # 0.3 s once in a process, in which others would wait if a claim's interval were the first to need it.
        student_at(0.5, 1)
        try:
            self._pairs.prepare()
        except ControlFailed as failure:
            self.end_controls()
            raise HarnessError(
                f"{self._bench.task_id}: the reference fails in a worker of its own ({failure}); check the task"
            ) from failure

    def end_controls(self) -> None:
        """End the control workers that are kept."""
        self._pairs.close()

    def hand_over_controls(self) -> None:
        """Part with the control workers that are kept."""
        self._pairs.hand_over()

    def claims(self, timing: Timing) -> bool:
        """Whether a timing claims a speed-up: the lower end of its interval exceeds 1 by more than the margin."""
        return timing.speedup_low is not None and timing.speedup_low > 1 + self._margin

    def beyond_physics(self, timing: Timing) -> Suspicion | None:
        """Suspicion if a timing is shorter than the device needs for the task; to be called with the device alone.

        A floor is measured by a clock: while other programs use much of the machine, it comes out too high. It is then
        no evidence, and is forgotten.
        """
        found = beyond_physics(timing, self._bench.measure_floor(), self._bench.device)
        if found is None:
            return None
        neighbours = Neighbours.of_judge(self._bench.device)
        for _ in range(FLOORS_IN_DOUBT):
            time.sleep(BETWEEN_FLOORS_S)
            found = beyond_physics(timing, self._bench.lower_floor(), self._bench.device)
            if found is None:
                return None
        if neighbours.share() > DISTURBING_SHARE:
            self._bench.forget_floor()
            return None
        return found

    def unrecorded(self, session: WorkerSession) -> Suspicion | None:
        """Suspicion if, on a GPU, the kernels of the candidate in ``session`` leave no record, and a control's do.

        To be called when the candidate's calls there are not timed any more: it is profiled, and where it leaves no
        record a control is, which then ends. Raises CandidateFailed, and HarnessError where the reference fails.
        """
        if not is_gpu(self._bench.device):
            return None
        if _leaves_a_record(session):
            return None
        try:
            recorded = self._control_leaves_a_record()
        except ControlFailed as failure:
            self._pairs.must_work_alone(failure)
        return UNRECORDED if recorded else None

    def attest(
        self,
        first: WorkerSession,
        another: Callable[[], WorkerSession],
        seconds_per_call: float,
        candidate_ms: float,
        quiet: Quiet = ALWAYS_QUIET,
        *,
        between: Callable[[], None] = lambda: None,
    ) -> Attested:
        """Measure a claim by the judge's clock: in the worker that made it, and in others that ``another`` gives.

        ``between()`` is called after the first series, where there is a second one; the first worker is then needed no
        more. ``candidate_ms`` is a call's duration by the worker's clock; a candidate that forges a shorter one gains
        nothing.

        Raises CandidateFailed, and HarnessError where the reference fails.
        """
        neighbours = NeighboursOfSeries(partial(Neighbours.of_judge, self._bench.device))
        calls_s = max(seconds_per_call, self._bench.seconds_per_call)

        @contextmanager
        def processes(number: int) -> Iterator[TakingTurns]:
            if number == 1:
                between()
            # One that was profiled launches more slowly.
            stays = number == 0 and not first.was_profiled
            with self._pairs.two(number, (lambda: first) if stays else another, calls_s, quiet, stays=stays) as two:
                neighbours.begin()
                yield two

        plan = plan_for(self._margin, self._bench.device, candidate_ms)
        try:
            verdict = measure(processes, plan, neighbours.share, self._seen_alone_too)
        except ControlFailed as failure:
            # It would be beside the reference, and may hold the memory that the reference lacked.
            first.close()
            self._pairs.must_work_alone(failure)
        except (DeviceBusy, CannotRead) as why:
            # Its work may be why the device is busy.
            first.close()
            return Attested(None, False, str(why))
        finally:
            self._pairs.close_ended()
        return Attested(verdict.estimate, verdict.counted is True, verdict.because)

    def _seen_alone_too(self, two: TakingTurns, verdict: Verdict) -> Verdict:
        """The verdict on a claim after calls were also timed alone in their turns (``alone``)."""
        if not verdict.counted:
            return verdict
        seen = not_borne_out(two, verdict.estimate.low)
        return verdict if seen is None else replace(verdict, answer="undecided", because=seen.because)

    def _control_leaves_a_record(self) -> bool:
        if self._control_is_recorded is None:
            with self._pairs.last_control() as control, of_control():
                recorded = _leaves_a_record(control)
            if not recorded and has_company():
                # It is profiled again when it is alone.
                return False
            self._control_is_recorded = recorded
        return self._control_is_recorded


def _leaves_a_record(session: WorkerSession) -> bool:
    """Whether torch's profiler records a kernel in one call on new inputs, whose answer is checked."""
    slot = random.choice(session.have_slots(max(1, len(session.slots))))
    drawn = session.refresh([slot])
    busy_ms = session.profile(slot).busy_ms
    session.check_timed([slot], drawn)
    return busy_ms is not None
