"""Times a kernel beside its baseline, another kernel: both were found correct, and take turns by the judge's clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from typing import Any, NamedTuple

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.clock.alone import not_borne_out
from pytest_kernelbench.evaluation.clock.attestation import Plan, Verdict, measure
from pytest_kernelbench.evaluation.clock.estimates import Estimate
from pytest_kernelbench.evaluation.clock.freezing import DeviceBusy
from pytest_kernelbench.evaluation.clock.gates import Comparison, Gate, Side, plan_of_gate, told_by
from pytest_kernelbench.evaluation.clock.neighbours import Neighbours
from pytest_kernelbench.evaluation.clock.pairs import Pairs
from pytest_kernelbench.evaluation.clock.turns import ControlFailed, TakingTurns
from pytest_kernelbench.evaluation.device.foreign import CannotRead
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.session import WorkerSession


class Checked(NamedTuple):
    """A kernel that was found correct: ``worker`` starts a process with it.

    ``call_ms`` is the duration of a call by the worker's clock, ``seconds_per_call`` the judge's wait for one.
    ``built_s``: seconds for which torch's compiler built for it while it was checked.
    """

    worker: Callable[[], WorkerSession]
    call_ms: float
    seconds_per_call: float
    built_s: float = 0.0


class SideFailed(Exception):
    """One of the two does not work, or gives wrong answers: ``side``, and ``detail`` in one line."""

    def __init__(self, side: Side, detail: str) -> None:
        super().__init__(detail)
        self.side = side
        self.detail = detail

    def of_worker(self) -> CandidateFailed | None:
        """The failure of the worker, where one was the cause: it may have lacked memory beside other trials."""
        cause = self.__cause__
        while cause is not None and not isinstance(cause, CandidateFailed):
            cause = cause.__cause__
        return cause


def compare(bench: Bench, checked: Mapping[Side, Checked], gate: Gate) -> Comparison:
    """Measure until the gate's question is answered, or its seconds are spent. Raises HarnessError."""
    started = time.perf_counter()
    kernel, baseline = checked["kernel"], checked["baseline"]
    told: dict[str, Any] = {"kernel_ms": kernel.call_ms, "baseline_ms": baseline.call_ms}
    plan = plan_of_gate(gate, bench.device, min(kernel.call_ms, baseline.call_ms))
    with closing(Pairs(bench, baseline.worker)) as pairs:
        try:
            share = _ShareOfSeries(bench.device)
            told |= told_by(take_turns(pairs, checked, plan, share))
        except (DeviceBusy, CannotRead) as why:
            told |= {"verdict": "undecided", "detail": str(why)}
        except SideFailed as failure:
            told |= {"failed": failure.side, "detail": failure.detail}
    return Comparison(**told, seconds=time.perf_counter() - started)


def take_turns(pairs: Pairs, checked: Mapping[Side, Checked], plan: Plan, others_share: Callable[[], float]) -> Verdict:
    """The verdict of ``measure`` on the two sides; ``pairs`` gives the processes of the baseline.

    If the kernel is faster by more than the margin, it is also timed in turns of one call (``alone``). A claim must
    hold there, and a gate's kernel must not be slower there: else the answer is "undecided", without an interval.
    Raises SideFailed, DeviceBusy and CannotRead.
    """
    kernel, baseline = checked["kernel"], checked["baseline"]
    seconds_per_call = max(kernel.seconds_per_call, baseline.seconds_per_call)

    def processes(number: int) -> AbstractContextManager[TakingTurns]:
        return pairs.two(number, kernel.worker, seconds_per_call)

    def seen_alone_too(two: TakingTurns, verdict: Verdict) -> Verdict:
        if not _is_faster(verdict, plan):
            return verdict
        is_claim = plan.margin > 0
        # A gate's kernel need not save time there: one with 40 short operators in place of 160 saved 8.5 ms among
        # others and 1.1 ms alone (two cores), too little for a claim.
        asked = verdict.estimate.low if is_claim else 1 + plan.margin
        seen = not_borne_out(two, asked)
        if seen is None:
            return verdict
        slower = f"a call that is alone in its turn takes {-seen.saved_ms:.3g} ms longer than one of the baseline"
        unbounded = Estimate(verdict.estimate.speedup, 0.0, math.inf)
        return replace(verdict, answer="undecided", because=seen.because if is_claim else slower, estimate=unbounded)

    try:
        return measure(processes, plan, others_share, seen_alone_too)
    except ControlFailed as failure:
        raise SideFailed("baseline", detail_of(failure.__cause__)) from failure
    except CandidateFailed as failure:
        raise SideFailed("kernel", detail_of(failure)) from failure


def _is_faster(verdict: Verdict, plan: Plan) -> bool:
    """Whether the kernel is faster by more than the margin; for a gate, by as much as it may be slower."""
    return verdict.answer == "above" and verdict.estimate.low > max(1 + plan.margin, 1 / (1 + plan.margin))


class _ShareOfSeries:
    """Each call returns the share of the cores that other programs have used since the call before."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._neighbours = Neighbours.of_judge(device)

    def __call__(self) -> float:
        share = self._neighbours.share()
        self._neighbours = Neighbours.of_judge(self._device)
        return share


def detail_of(failure: BaseException | None) -> str:
    """``incorrect: mixed inputs: ...`` in one printable line."""
    assert isinstance(failure, CandidateFailed)
    return f"{failure.outcome.value}: {failure.detail}"
