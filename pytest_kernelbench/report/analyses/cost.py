"""Cost and success of each strategy: success against rollouts, tokens and seconds.

``analyses["cost"]``::

    {"strategies": {name: {"rollouts": x, "tokens": x | null, "generated_tokens": x | null, "teacher_tokens": x | null,
                           "update_tokens": x | null, "prompt_tokens": x | null, "timed": x | null, "seconds": x | null,
                           "sampling_seconds": x | null, "evaluation_seconds": x | null, "adaptation_seconds": x | null,
                           "units": {"of": 20, "tokens": 20, "prompt_tokens": 0, "seconds": 19, "timed": 20},
                           "fast_1": estimate, "fast_1_raw": estimate, "geomean_speedup": estimate,
                           "on_frontier": {COST: bool | null}}},
     "search": [{"strategies": [name, ...], "points": [{"k": 4, **POINT}]}],
     "adaptation": [{"strategy": name, "tasks": 5, "points": [{"step": 2, **POINT}]}],
     "equal_budget": [{"strategy": name, "tasks": 5, "step": 1, "rollouts": 64,
                       "verified": BOTH, "raw": BOTH} | {"strategy": name, "refusal": text}],
     "run_seconds": {stage: x}}

    POINT = {"rollouts": x, "tokens": x | null, "seconds": x | null, "any_verified": x, "any_raw": x}
    BOTH = {"adapted": estimate, "searched": estimate, "difference": estimate}
    COST: "rollouts", "tokens", "prompt_tokens", "timed", "seconds"

Costs are means for one task (and seed) that was collected. They hold all that a strategy drew, what was held out and
what it drew for tasks that it only trained on included. A task of which a cost is not known, because an answer has no
count of tokens, is left out of its mean; ``units`` says how many of those collected are in it. ``tokens`` are those
generated, those that a teacher read and those that updates read; a forecast's, of its prompt and answer, are among the
generated ones. ``prompt_tokens`` are those of each answer's prompt beside them; ``seconds`` those of sampling, of
evaluating distinct sources, and of updates, added up, also where they ran at the same time. ``timed`` counts
evaluations whose timing the selector looked at.

``search`` is what best-of-K gives for the same spending, at powers of two: any of K on first timings. ``adaptation`` is
what a strategy that adapts has after each step: any of all its rollouts so far. ``equal_budget`` compares the two, any
of as many, at the last step for whose rollouts search drew enough. A strategy is on the frontier of a cost where no
other one has at least its fast_1 for less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import log, nan

import numpy

from pytest_kernelbench.records import AdaptationStep
from pytest_kernelbench.report.analyses.base import READINGS, Floats, Json, SampleGroup, Study, UnitSamples
from pytest_kernelbench.report.analyses.estimates import (
    difference_over_tasks,
    estimate_over_tasks,
    exponential,
    finite,
    rate_over_tasks,
)
from pytest_kernelbench.report.analyses.scaling import any_fast_curve
from pytest_kernelbench.report.analyses.spending import PARTS, spent_on
from pytest_kernelbench.report.metrics import Sample, StrategyResults, speedup_of
from pytest_kernelbench.report.records import RunRecords, StrategyOfRun
from pytest_kernelbench.report.stats import any_success_curve

COSTS = ("rollouts", "tokens", "seconds")  # of which there are curves
FRONTIERS = ("rollouts", "tokens", "prompt_tokens", "timed", "seconds")


def cost(study: Study) -> Json:
    strategies = {strategy.name: _of_strategy(study, strategy) for strategy in study.records.strategies}
    for name, row in strategies.items():
        row["on_frontier"] = {each: on_frontier(name, strategies, each) for each in FRONTIERS}
    adapting = [each for each in study.records.strategies if _own_steps(study.records, each)]
    return {
        "strategies": strategies,
        "search": [
            {"strategies": list(group.strategies), "points": _search(group)} for group in study.groups if group.n
        ],
        "adaptation": [
            _trajectory(study.records, each, verified=study.results[each.name].is_verifiable) for each in adapting
        ],
        "equal_budget": [_equal_budget(study, strategy) for strategy in adapting],
        "run_seconds": dict(study.records.options.get("seconds", {})),
    }


def _of_strategy(study: Study, strategy: StrategyOfRun) -> Json:
    records, results = study.records, study.results[strategy.name]
    tasks_U = [task.task for task in results.tasks]
    chosen = [task.selection for task in results.tasks]
    speedups = [None if each is None else speedup_of(each) for each in chosen]
    asked = {task.unit: task.selection.cost for task in results.tasks if task.selection is not None}
    spent = spent_on(records.drawn(strategy), _updates(records, strategy), collected=records.tasks, asked=asked)
    units = max(1, len(records.tasks))
    timed = [each.cost["timed"] for each in chosen if each is not None and each.cost.get("timed") is not None]
    return {
        **{name: finite(getattr(spent, name) / units) for name in (*PARTS, *COSTS)},
        "timed": float(numpy.mean(timed)) if timed else None,
        "units": {"of": len(records.tasks), **spent.units, "timed": len(timed)},
        "fast_1": rate_over_tasks(tasks_U, _fast(results)),
        "fast_1_raw": rate_over_tasks(tasks_U, [float(each is not None and each.fast_raw) for each in chosen]),
        "geomean_speedup": exponential(
            estimate_over_tasks(tasks_U, [0.0 if each is None else log(each) for each in speedups])
            if any(each is not None for each in speedups)
            else None
        ),
    }


def _fast(results: StrategyResults) -> list[float]:
    """Whether each choice is fast; NaN if the protocol verifies nothing."""
    chosen = [task.selection for task in results.tasks]
    return [float(each is not None and each.fast) if results.is_verifiable else nan for each in chosen]


def _updates(records: RunRecords, strategy: StrategyOfRun) -> list[AdaptationStep]:
    return [step for steps in records.lineages(strategy).values() for step in steps]


def on_frontier(name: str, strategies: Mapping[str, Json], of: str) -> bool | None:
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


# Search


def _search(group: SampleGroup) -> list[Json]:
    """Tokens, rollouts and seconds of sampling grow with K; those of evaluation with the distinct sources among K."""
    verified, raw = (_over_units(group.table(partial(_success, reading=reading))) for reading in READINGS)
    evaluating_K = _over_units(group.table(_seconds_curve))
    tokens, sampling = (
        float(_over_units(numpy.array([[_mean(values(unit))] for unit in group.units]))[0])
        for values in (lambda unit: unit.tokens_N, _sampling_seconds)
    )
    sizes = [1 << power for power in range(group.n.bit_length())]
    return [
        {
            "k": k,
            "rollouts": float(k),
            "tokens": finite(tokens * k),
            "seconds": finite(sampling * k + evaluating_K[k - 1]),
            "any_verified": finite(verified[k - 1]),
            "any_raw": finite(raw[k - 1]),
        }
        for k in sizes
    ]


def _success(unit: UnitSamples, *, reading: str) -> Floats:
    return any_fast_curve(unit, reading)


def _over_units(values_UK: Floats) -> Floats:
    """The mean over the units that are known, at each K; NaN where none is."""
    known_U = ~numpy.isnan(values_UK).any(axis=1)
    return values_UK[known_U].mean(axis=0) if known_U.any() else numpy.full(values_UK.shape[1], nan)


def _mean(values_N: Floats) -> float:
    """The mean of the known values; NaN if none is known."""
    known = values_N[~numpy.isnan(values_N)]
    return float(known.mean()) if len(known) else nan


def _sampling_seconds(unit: UnitSamples) -> Floats:
    completions = [sample.completion for sample in unit.results.samples]
    return numpy.array(
        [nan if each is None or each.seconds is None else each.seconds for each in completions], dtype=float
    )


def _seconds_curve(unit: UnitSamples) -> Floats:
    """Expected seconds of evaluating the distinct sources among K candidates, exact over K-subsets."""
    seconds: dict[str, list[float]] = {}
    for each in unit.results.evaluations:
        if each.source_sha256 is not None:
            seconds.setdefault(each.source_sha256, []).append(each.seconds.get("total", nan))
    curves = [any_success_curve(unit.n, len(found)) * found[0] for found in seconds.values()]
    return numpy.sum(curves, axis=0) if curves else numpy.zeros(unit.n)


# Adaptation


def _own_steps(records: RunRecords, strategy: StrategyOfRun) -> dict[str, list[AdaptationStep]]:
    """The steps of every unit that was collected and trained on, where each has the same."""
    found = {name: steps for name, steps in records.steps(strategy).items() if name in records.tasks}
    counts = {len(steps) for steps in found.values()}
    return found if len(counts) == 1 else {}


def _trajectory(records: RunRecords, strategy: StrategyOfRun, *, verified: bool) -> Json:
    """After each step, what was spent so far and the units that have a fast rollout of it or of one before."""
    steps = _own_steps(records, strategy)
    drawn = records.drawn(strategy)
    lineages = records.lineages(strategy).values()
    points = []
    for number in range(len(next(iter(steps.values())))):
        so_far = {name: _until(drawn.get(name, ()), steps[name][: number + 1]) for name in steps}
        updates = [step for each in lineages for step in each[: number + 1]]
        spent = spent_on(so_far, updates, collected=so_far)
        any_U = {reading: _any_fast(so_far, strategy.margin, reading) for reading in READINGS}
        if not verified:
            any_U["verified"] = numpy.full(len(so_far), nan)
        points.append(
            {
                "step": number,
                **{name: finite(getattr(spent, name) / len(steps)) for name in COSTS},
                **{f"any_{reading}": finite(values_U.mean()) for reading, values_U in any_U.items()},
            }
        )
    return {
        "strategy": strategy.name,
        "tasks": len({records.unit(name).task for name in steps}),
        "points": points,
    }


def _until(samples: Sequence[Sample], steps: Sequence[AdaptationStep], *, held_out: bool = True) -> list[Sample]:
    spans = [
        range(step.first_index, step.first_index + step.rollouts + (step.holdout if held_out else 0)) for step in steps
    ]
    return [sample for sample in samples if any(sample.index in span for span in spans)]


def _any_fast(samples_by_unit: Mapping[str, Sequence[Sample]], margin: float, reading: str) -> Floats:
    def fast(sample: Sample) -> bool:
        evaluation = sample.evaluation
        if evaluation is None:
            return False
        return evaluation.fast(1.0, margin) if reading == "verified" else evaluation.fast_raw(1.0)

    return numpy.array([any(map(fast, samples)) for samples in samples_by_unit.values()], dtype=float)


def _equal_budget(study: Study, strategy: StrategyOfRun) -> Json:
    """Any of the rollouts of the first steps against any of as many of the policy as loaded, task by task."""
    records = study.records
    steps = _own_steps(records, strategy)
    group = next(each for each in study.groups if strategy.name in each.strategies)
    units = {unit.results.unit: unit for unit in group.units}
    searched = min((units[name].n for name in steps if name in units), default=0)
    drawn = records.drawn(strategy)
    (first, *_) = steps.values()
    affordable = [
        (number, rollouts)
        for number in range(1, len(first))
        if (rollouts := sum(step.rollouts + step.holdout for step in first[: number + 1])) <= searched
    ]
    if not affordable:
        refusal = f"search drew {searched} a task, fewer than the rollouts of the first step after an update"
        return {"strategy": strategy.name, "refusal": refusal}
    step, rollouts = affordable[-1]
    tasks_U = [records.unit(name).task for name in steps]
    so_far = {name: _until(drawn.get(name, ()), steps[name][: step + 1]) for name in steps}

    def both(reading: str) -> Json:
        adapted_U = _any_fast(so_far, strategy.margin, reading)
        if reading == "verified" and not study.results[strategy.name].is_verifiable:
            adapted_U = numpy.full(len(adapted_U), nan)
        searched_U = numpy.array([_success(units[name], reading=reading)[rollouts - 1] for name in steps])
        return {
            "adapted": rate_over_tasks(tasks_U, adapted_U),
            "searched": rate_over_tasks(tasks_U, searched_U),
            "difference": difference_over_tasks(tasks_U, adapted_U - searched_U),
        }

    return {
        "strategy": strategy.name,
        "tasks": len(set(tasks_U)),
        "step": step,
        "rollouts": rollouts,
        **{reading: both(reading) for reading in READINGS},
    }
