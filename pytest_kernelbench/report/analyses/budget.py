"""Success of each strategy against its spending, on each of four budgets, so that budgets are equal.

``analyses["budget"]`` is None where all strategies share their candidates, and otherwise::

    {AXIS: {"budget": [b, ...], "tasks": 20, "left_out": 0, "prompts": bool,
            "strategies": {name: {"verified": curve, "geomean_speedup": curve, "spends": x}}}}

AXIS is ``rollouts`` (answers drawn), ``tokens`` (of prompts and answers, teachers and updates), ``judged`` (distinct
programs handed to the judge) or ``seconds`` (of sampling, of judging distinct programs, and of updates, one after the
other). A curve's value at budget ``b`` is over what each task's candidates, in the order in which they were drawn, had
reached within ``b``: the share of tasks with a verified fast one, and the geometric mean of the best speed-up, 1 where
none is correct. Budgets go as far as the strategy that spent least (``spends``, mean over tasks), so that every
strategy is compared on what it did spend. Budget ``b`` is the mean over tasks of what was spent, under one limit for
every task: what a strategy does not spend on one task, because it stops by itself or its answers are short, is there
for another. What updates took is spread over the rollouts that they were made from. A task of which something is not
known (an answer's tokens) is left out of its axis for every strategy, and counted in ``left_out``; an axis on which all
tasks are left out is missing. ``prompts``: whether the axis ``tokens`` counts prompts as well as answers; it does not
if no answer records the tokens of its prompt.

Selection plays no part: this is what there was to select from. Strategies that share candidates are one, under the
names of all.
"""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy

from pytest_kernelbench.records import Completion
from pytest_kernelbench.report.analyses.base import Floats, Json, Study
from pytest_kernelbench.report.analyses.estimates import curve_over_tasks, exponential, rate_curve_over_tasks
from pytest_kernelbench.report.metrics import Sample, StrategyResults

AXES = ("rollouts", "tokens", "judged", "seconds")
POINTS = 24


def budget(study: Study) -> Json | None:
    """The four comparisons, of every set of candidates that was drawn."""
    found = _sets(study)
    if len(found) < 2:
        return None
    prompts = any(
        sample.completion is not None and sample.completion.prompt_tokens is not None
        for results in found.values()
        for task in results.tasks
        for sample in task.samples
    )
    compared = {axis: _on_axis(axis, found, study, prompts=prompts) for axis in AXES}
    return {axis: each for axis, each in compared.items() if each is not None} or None


def _sets(study: Study) -> dict[str, StrategyResults]:
    """Results by the names of the strategies that share them; the first of the names finds the rest."""
    sharing: dict[tuple[str | None, ...], list[str]] = {}
    for strategy in study.records.strategies:
        key = (
            *(strategy.sampling_sha256, strategy.evaluation_sha256, strategy.adaptation_sha256),
            strategy.name if strategy.stops else None,
        )
        if any(task.samples for task in study.results[strategy.name].tasks):
            sharing.setdefault(key, []).append(strategy.name)
    return {", ".join(names): study.results[names[0]] for names in sharing.values()}


def _on_axis(axis: str, drawn: dict[str, StrategyResults], study: Study, *, prompts: bool) -> Json | None:
    by_unit = {
        name: {task.unit: _spent(axis, task.samples, prompts=prompts) for task in each.tasks}
        for name, each in drawn.items()
    }
    unknown = {unit for each in by_unit.values() for unit, spent_N in each.items() if numpy.isnan(spent_N).any()}
    found = {
        name: replace(each, tasks=tuple(task for task in each.tasks if task.unit not in unknown))
        for name, each in drawn.items()
    }
    if not all(each.tasks for each in found.values()):
        return None
    spent = {name: [by_unit[name][task.unit] for task in each.tasks] for name, each in found.items()}
    for name, spent_U in spent.items():
        extra = _of_updates(axis, found[name].strategy, study)
        rollouts = sum(map(len, by_unit[name].values()))
        for spent_N in spent_U:
            # Updates were paid for along with the rollouts that they learn from.
            spent_N += extra / max(1, rollouts) * numpy.arange(1, len(spent_N) + 1)
    spends = {
        name: float(numpy.mean([each[-1] if len(each) else 0.0 for each in rows])) for name, rows in spent.items()
    }
    most = min(spends.values())
    if not numpy.isfinite(list(spends.values())).all() or most <= 0:
        return None
    budgets = numpy.unique(numpy.linspace(most / POINTS, most, POINTS).round(3))
    if axis in ("rollouts", "judged"):
        # Whole numbers, up to the total of the strategy that spent least.
        budgets = numpy.unique(numpy.append(numpy.floor(budgets[budgets >= 1]), budgets[-1]))
    return {
        "budget": budgets.tolist(),
        "tasks": len({task.task for each in found.values() for task in each.tasks}),
        "left_out": len(unknown),
        "prompts": axis == "tokens" and prompts,
        "strategies": {
            name: {**_curves(results, spent[name], _limits(spent[name], budgets)), "spends": spends[name]}
            for name, results in found.items()
        },
    }


def _limits(spent_U: list[Floats], budgets_B: Floats) -> Floats:
    """For each budget, the limit for a single task at which the mean spent over tasks equals the budget.

    So a strategy that stops by itself on one task may spend more on the others.
    """
    totals_U = numpy.array([each[-1] if len(each) else 0.0 for each in spent_U])
    limits_L = numpy.unique(numpy.concatenate([[0.0], totals_U]))
    means_L = numpy.array([numpy.minimum(totals_U, limit).mean() for limit in limits_L])
    # Linear between the places where a task drops out; beyond the last, everything is spent.
    return numpy.interp(budgets_B, means_L, limits_L)


def _curves(results: StrategyResults, spent_U: list[Floats], budgets_B: Floats) -> Json:
    tasks_U = [task.task for task in results.tasks]
    verified_UB = numpy.zeros((len(tasks_U), len(budgets_B)))
    logs_UB = numpy.zeros((len(tasks_U), len(budgets_B)))
    for place, task in enumerate(results.tasks):
        within_B = numpy.searchsorted(spent_U[place], budgets_B + 1e-9, side="right")
        fast_N = [bool(each.evaluation and each.evaluation.fast(margin=results.margin)) for each in task.samples]
        log_N = [_log_speedup(each) for each in task.samples]
        verified_UB[place] = [any(fast_N[:n]) for n in within_B]
        known = [[each for each in log_N[:n] if each is not None] for n in within_B]
        logs_UB[place] = [max(each) if each else 0.0 for each in known]
    if not results.is_verifiable:
        verified_UB[:] = numpy.nan
    return {
        "verified": rate_curve_over_tasks(tasks_U, verified_UB),
        "geomean_speedup": exponential(curve_over_tasks(tasks_U, logs_UB)),
    }


def _log_speedup(sample: Sample) -> float | None:
    speedup = sample.evaluation.counted_speedup if sample.evaluation else None
    return None if speedup is None else log(speedup)


def _spent(axis: str, samples: tuple[Sample, ...], *, prompts: bool) -> Floats:
    """For each candidate in the order of drawing, the sum spent on the task up to and with it; NaN if not known."""
    seen: set[str] = set()
    each_N = []
    for sample in samples:
        completion, evaluation = sample.completion, sample.evaluation
        program = evaluation.source_sha256 if evaluation else None
        is_new = program is not None and program not in seen
        if program is not None:
            seen.add(program)
        value: float | None
        if axis == "rollouts":
            value = 1.0
        elif axis == "judged":
            value = float(is_new)
        elif axis == "tokens":
            value = _tokens(completion, prompts=prompts)
        else:
            drawing = completion.seconds if completion else None
            judging = evaluation.seconds.get("total") if evaluation and is_new else 0.0
            value = None if drawing is None or judging is None else drawing + judging
        each_N.append(numpy.nan if value is None else value)
    return numpy.cumsum(numpy.array(each_N, dtype=float))


def _tokens(completion: Completion | None, *, prompts: bool) -> float | None:
    if completion is None:
        return None
    parts = [completion.n_tokens, *([completion.prompt_tokens] if prompts else [])]
    return None if any(each is None for each in parts) else float(sum(each or 0 for each in parts))


def _of_updates(axis: str, name: str, study: Study) -> float:
    """The cost of a strategy's updates on an axis, over all tasks together; 0 if it made none."""
    strategy = next(each for each in study.records.strategies if each.name == name)
    if strategy.adaptation_sha256 is None or axis in ("rollouts", "judged"):
        return 0.0
    keys = ("seconds",) if axis == "seconds" else ("teacher_tokens", "update_tokens")
    steps = [each for each in study.records.adaptation.values() if each.adaptation_sha256 == strategy.adaptation_sha256]
    return float(sum((step.update or {}).get(key, 0.0) for step in steps for key in keys))
