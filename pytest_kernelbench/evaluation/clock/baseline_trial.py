"""Times a candidate beside a stronger baseline than eager PyTorch: as a claim is, with the baseline as the control."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.clock.attestation import Verdict, plan_for
from pytest_kernelbench.evaluation.clock.freezing import DeviceBusy
from pytest_kernelbench.evaluation.clock.gate_trial import Checked, SideFailed, detail_of, take_turns
from pytest_kernelbench.evaluation.clock.gates import Side
from pytest_kernelbench.evaluation.clock.neighbours import Neighbours
from pytest_kernelbench.evaluation.clock.pairs import KEPT_CONTROLS, Pairs
from pytest_kernelbench.evaluation.clock.rehearsals import warm
from pytest_kernelbench.evaluation.clock.turns import ControlFailed, of_control
from pytest_kernelbench.evaluation.device.foreign import CannotRead
from pytest_kernelbench.records import AgainstBaseline


def time_beside(
    bench: Bench, checked: Mapping[Side, Checked], margin: float, baseline: str, be_alone: Callable[[], None]
) -> AgainstBaseline:
    """How fast the side ``kernel`` is beside the ``baseline`` of this name, by the plan of a claim with ``margin``.

    ``be_alone`` returns once this process has the device alone; before, the processes of the baseline are started.
    Raises SideFailed and HarnessError.
    """
    kernel, against = checked["kernel"], checked["baseline"]
    found = AgainstBaseline(
        baseline=baseline,
        candidate_ms=kernel.call_ms,
        baseline_ms=against.call_ms,
        build_seconds=round(against.built_s, 3),
    )
    plan = plan_for(margin, bench.device, kernel.call_ms)
    with closing(Pairs(bench, against.worker)) as pairs:
        have_built(pairs)
        try:
            share = Neighbours.of_judge(bench.device).share
            verdict = take_turns(pairs, checked, plan, share)
        except (DeviceBusy, CannotRead) as why:
            return replace(found, uncounted_because=str(why))
    return replace(found, **told_by(verdict))


def have_built(pairs: Pairs) -> None:
    """Have each process of the baseline make a call, which builds, and stop it then.

    Otherwise the builds would take the seconds that a claim has for measuring. Raises SideFailed.
    """
    try:
        for number in range(KEPT_CONTROLS):
            with pairs.control(number) as control, of_control():
                warm(control, 1, times=1)
                control.freeze()
    except ControlFailed as failure:
        raise SideFailed("baseline", detail_of(failure.__cause__)) from failure


def told_by(verdict: Verdict) -> dict[str, Any]:
    """A verdict as fields of ``AgainstBaseline``."""
    told: dict[str, Any] = {"counted": verdict.counted is True, "uncounted_because": verdict.because}
    estimate = verdict.estimate
    if estimate.low > 0:
        high = None if math.isinf(estimate.high) else estimate.high
        told |= {"speedup": estimate.speedup, "low": estimate.low, "high": high}
    return {**told, "series": verdict.series}


def told_of_failure(baseline: str, failure: SideFailed) -> AgainstBaseline:
    """The record where one side does not work or gives wrong answers: a bad baseline is not the candidate's fault."""
    if failure.side == "baseline":
        because = f"there is no baseline {baseline}: the reference under it is no correct candidate ({failure.detail})"
        return AgainstBaseline(baseline=baseline, failed="baseline", uncounted_because=because)
    because = f"the candidate was not right when it was judged beside {baseline} ({failure.detail})"
    return AgainstBaseline(baseline=baseline, failed="candidate", uncounted_because=because)
