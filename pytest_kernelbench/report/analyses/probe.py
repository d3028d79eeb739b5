"""Calibration under the weights of each step: does the policy expect its fast answers less, or more?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any, NamedTuple

from pytest_kernelbench.records import AdaptationStep
from pytest_kernelbench.report.analyses.estimates import difference_over_tasks
from pytest_kernelbench.report.metrics import Sample
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.stats import Correlation, spearman

Json = dict[str, Any]
TAIL = 0.25


class Scored(NamedTuple):
    """A correct rollout under the weights of some step."""

    unit: str
    candidate: int
    nll: float
    speedup: float


def probe(
    records: RunRecords, samples: Mapping[str, Sequence[Sample]], steps: Mapping[str, Sequence[AdaptationStep]]
) -> tuple[str, list[Json]] | tuple[None, None]:
    """``fixed`` or ``own``, for the rollouts that were scored, and a row for each step; two None if none were."""
    what, scored = "fixed", _fixed_rollouts(records, steps)
    if not scored:
        what, scored = "own", _own_rollouts(samples, steps)
    if not scored:
        return None, None
    ordered = sorted(scored[min(scored)], key=lambda each: -each.nll)
    tail = {(each.unit, each.candidate) for each in ordered[: max(1, round(TAIL * len(ordered)))]}
    rows = []
    for number, rollouts in sorted(scored.items()):
        if what == "own":
            least_expected = sorted(rollouts, key=lambda each: -each.nll)
            of_tail = least_expected[: max(1, round(TAIL * len(rollouts)))]
        else:
            of_tail = [each for each in rollouts if (each.unit, each.candidate) in tail]
        everything, in_tail = _rho(rollouts), _rho(of_tail)
        within = {unit: _rho([each for each in rollouts if each.unit == unit]) for unit in steps}
        rows.append(
            {
                "step": number,
                "n": len(rollouts),
                "mean_nll": sum(each.nll for each in rollouts) / len(rollouts),
                "rho": None if everything is None else everything.rho,
                "p": None if everything is None else everything.p,
                "tail_rho": None if in_tail is None else in_tail.rho,
                "tail_p": None if in_tail is None else in_tail.p,
                "within_task_rho": difference_over_tasks(
                    [records.unit(unit).task for unit in within],
                    [nan if each is None else each.rho for each in within.values()],
                ),
            }
        )
    return what, rows


def _fixed_rollouts(records: RunRecords, steps: Mapping[str, Sequence[AdaptationStep]]) -> dict[int, list[Scored]]:
    """By step, the rollouts of step 0 under its weights, where they were scored again."""
    units = {
        (records.unit(name).seed, step.lineage, records.unit(name).task): name for name in steps for step in steps[name]
    }
    found: dict[int, list[Scored]] = {}
    for (seed, lineage, number, task, index), probed in records.probes.items():
        name = units.get((seed if records.units else None, lineage, task))
        if name is not None and probed.speedup is not None:
            found.setdefault(number, []).append(Scored(name, index, probed.nll, probed.speedup))
    return found


def _own_rollouts(
    samples: Mapping[str, Sequence[Sample]], steps: Mapping[str, Sequence[AdaptationStep]]
) -> dict[int, list[Scored]]:
    """By step, its own rollouts under the weights that drew them."""
    found: dict[int, list[Scored]] = {}
    for name, of_unit in steps.items():
        for step in of_unit:
            for sample in rollouts_of(samples.get(name, ()), step):
                logprob = sample.completion.sum_logprob if sample.completion else None
                speedup = sample.evaluation.counted_speedup if sample.evaluation else None
                if logprob is not None and speedup is not None:
                    found.setdefault(step.step, []).append(Scored(name, sample.index, -logprob, speedup))
    return found


def _rho(rollouts: Sequence[Scored]) -> Correlation | None:
    return spearman([each.nll for each in rollouts], [each.speedup for each in rollouts])


def rollouts_of(samples: Sequence[Sample], step: AdaptationStep) -> list[Sample]:
    span = range(step.first_index, step.first_index + step.rollouts)
    return [sample for sample in samples if sample.index in span]
