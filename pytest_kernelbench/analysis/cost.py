"""What each strategy spent and what it got: success against rollouts, tokens and seconds.

``analyses["cost"]``::

    {"strategies": {name: {"rollouts": x, "generated_tokens": x | null, "teacher_tokens": x | null,
                           "update_tokens": x | null, "timed": x, "evaluation_seconds": x | null,
                           "adaptation_seconds": x | null,
                           "fast_1": estimate, "fast_1_raw": estimate, "geomean_speedup": estimate,
                           "on_frontier": {"rollouts": bool, "generated_tokens": bool, "evaluation_seconds": bool}}},
     "search": [{"strategies": [name, ...],
                 "points": [{"k": 4, "rollouts": 4.0, "generated_tokens": x | null, "evaluation_seconds": x | null,
                             "any_verified": x, "any_raw": x}]}],
     "run_seconds": {stage: x}}

Costs are means for one task (and seed): rollouts drawn, tokens generated, evaluations whose timing the selector
looked at, and seconds spent on evaluating distinct sources. ``search`` is the reference curve: what best-of-K gives
for the same spending, at powers of two. A strategy is on the frontier of a cost where no other one has at
least its fast_1 for less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from math import log, nan

import numpy

from pytest_kernelbench.analysis.base import (
    Floats,
    Json,
    SampleGroup,
    Study,
    UnitSamples,
    estimate_over_tasks,
    exponential,
    rate_over_tasks,
)
from pytest_kernelbench.metrics import StrategyResults, TaskResults, speedup_of
from pytest_kernelbench.runs import RunRecords, StrategyOfRun
from pytest_kernelbench.stats import any_success_curve

COSTS = ("rollouts", "generated_tokens", "evaluation_seconds")
OF_SELECTION = ("timed", "teacher_tokens", "update_tokens")


def cost(study: Study) -> Json:
    strategies = {
        strategy.name: _of_strategy(study.records, strategy, study.results[strategy.name])
        for strategy in study.records.strategies
    }
    for name, row in strategies.items():
        row["on_frontier"] = {each: _on_frontier(name, strategies, each) for each in COSTS}
    return {
        "strategies": strategies,
        "search": [
            {"strategies": list(group.strategies), "points": _search(group)} for group in study.groups if group.n
        ],
        "run_seconds": dict(study.records.options.get("seconds", {})),
    }


def _of_strategy(records: RunRecords, strategy: StrategyOfRun, results: StrategyResults) -> Json:
    tasks_U = [task.task for task in results.tasks]
    chosen = [task.selection for task in results.tasks]
    estimate = partial(estimate_over_tasks, tasks_U, seed=results.seed)
    speedups = [None if each is None else speedup_of(each) for each in chosen]
    return {
        "rollouts": _mean(len(task.samples) for task in results.tasks),
        "generated_tokens": _mean(_tokens(task) for task in results.tasks),
        **{key: _mean(nan if each is None else each.cost.get(key, nan) for each in chosen) for key in OF_SELECTION},
        "evaluation_seconds": _mean(_evaluation_seconds(task) for task in results.tasks),
        "adaptation_seconds": _adaptation_seconds(records, strategy),
        "fast_1": rate_over_tasks(tasks_U, [float(each is not None and each.fast) for each in chosen]),
        "fast_1_raw": rate_over_tasks(tasks_U, [float(each is not None and each.fast_raw) for each in chosen]),
        "geomean_speedup": exponential(estimate([0.0 if each is None else log(each) for each in speedups])),
    }


def _tokens(task: TaskResults) -> float:
    counts = [sample.completion.n_tokens if sample.completion else None for sample in task.samples]
    return nan if None in counts else float(sum(each for each in counts if each is not None))


def _evaluation_seconds(task: TaskResults) -> float:
    """A source that was drawn several times was evaluated once."""
    by_source = {each.source_sha256: each.seconds for each in task.evaluations if each.source_sha256 is not None}
    if not all("total" in seconds for seconds in by_source.values()):
        return nan
    return sum(seconds["total"] for seconds in by_source.values())


def _adaptation_seconds(records: RunRecords, strategy: StrategyOfRun) -> float | None:
    if strategy.adaptation_sha256 is None:
        return None
    lineages = {
        (records.unit(name).seed, step.lineage, step.step): step
        for name, steps in records.steps(strategy).items()
        for step in steps
    }
    seconds = [step.update.get("seconds", nan) for step in lineages.values() if step.update]
    return None if not seconds else float(sum(seconds)) / max(1, len(records.tasks))


def _mean(values: Iterable[float]) -> float | None:
    """None where one value is not known."""
    numbers = numpy.array(list(values), dtype=float)
    return None if numbers.size == 0 or numpy.isnan(numbers).any() else float(numbers.mean())


def _on_frontier(name: str, strategies: Mapping[str, Json], of: str) -> bool | None:
    """None where the cost is not known. A strategy that another equals in both stays on the frontier with it."""
    mine = strategies[name]
    if mine[of] is None or mine["fast_1"] is None:
        return None
    others = [each for other, each in strategies.items() if other != name and each[of] is not None and each["fast_1"]]
    success = mine["fast_1"]["value"]
    return not any(
        (each[of] <= mine[of] and each["fast_1"]["value"] > success)
        or (each[of] < mine[of] and each["fast_1"]["value"] >= success)
        for each in others
    )


def _search(group: SampleGroup) -> list[Json]:
    """Tokens and rollouts grow with K; seconds with the distinct sources among K."""
    verified, raw = (group.table(partial(_success, reading=reading)).mean(axis=0) for reading in ("verified", "raw"))
    seconds = group.table(_seconds_curve).mean(axis=0)
    tokens = _mean(unit.tokens_N.mean() if unit.n else nan for unit in group.units)
    sizes = [1 << power for power in range(group.n.bit_length())]
    return [
        {
            "k": k,
            "rollouts": float(k),
            "generated_tokens": None if tokens is None else tokens * k,
            "evaluation_seconds": None if numpy.isnan(seconds[k - 1]) else float(seconds[k - 1]),
            "any_verified": float(verified[k - 1]),
            "any_raw": float(raw[k - 1]),
        }
        for k in sizes
    ]


def _success(unit: UnitSamples, *, reading: str) -> Floats:
    return any_success_curve(unit.n, int(unit.fast_N[reading].sum()))


def _seconds_curve(unit: UnitSamples) -> Floats:
    """Expected seconds of evaluating the distinct sources among K candidates, exact over K-subsets."""
    seconds: dict[str, list[float]] = {}
    for each in unit.results.evaluations:
        if each.source_sha256 is not None:
            seconds.setdefault(each.source_sha256, []).append(each.seconds.get("total", nan))
    curves = [any_success_curve(unit.n, len(found)) * found[0] for found in seconds.values()]
    return numpy.sum(curves, axis=0) if curves else numpy.zeros(unit.n)
