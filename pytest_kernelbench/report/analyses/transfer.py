"""Transfer of adaptation to other tasks: adapt on A, evaluate on B, and back, against the policy as loaded.

``analyses["transfer"]`` is null unless a run holds tasks that one of its strategies did not train on, else::

    {"sets": {SET: [task, ...]},              the tasks collected, by which strategies trained on them
     "rows": [{"strategy": name, "step": s, "rollouts": 32, "chosen_on_itself": bool,
               "cells": {SET: {"trained": bool, "tasks": 5, "per_sample": BOTH, "any_of_k": BOTH} |
                              {"trained": bool, "refusal": text}}}]}

    BOTH = {"verified": {"base": estimate, "adapted": estimate, "difference": estimate}, "raw": the same}

SET is what ``train_on`` says of the strategies that trained on it, or ``others``. The two sides of a cell have the same
tasks, the same number of rollouts a task and were judged in the same session: ``base`` are the first rollouts of the
policy as loaded, which need a strategy that searches to have drawn them, ``adapted`` those of the step that the
strategy settled on. ``chosen_on_itself`` says that this step was chosen by rollouts that are counted here, which
flatters it. All are first timings. Source: arXiv 2602.07670, transfer between subsets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy

from pytest_kernelbench.records import AdaptationStep
from pytest_kernelbench.report.analyses.base import READINGS, Floats, Json, Study, UnitSamples
from pytest_kernelbench.report.analyses.estimates import difference_over_tasks, rate_over_tasks
from pytest_kernelbench.report.analyses.units import unit_samples
from pytest_kernelbench.report.metrics import StrategyResults, TaskResults
from pytest_kernelbench.report.records import StrategyOfRun
from pytest_kernelbench.selection.steps import settled
from pytest_kernelbench.strategy import Adaptation

OTHERS = "others"


def transfer(study: Study) -> Json | None:
    records = study.records
    trained = {
        strategy.name: frozenset(task for steps in lineages.values() for step in steps for task in step.trained_on)
        for strategy in records.strategies
        if strategy.adaptation is not None
        and strategy.adaptation.scope == "batch"
        and (lineages := records.lineages(strategy))
    }
    sets = _sets(study, trained)
    if all(set(tasks) <= trained[name] for tasks in sets.values() for name in trained):
        return None
    return {
        "sets": sets,
        "rows": [
            _row(study, strategy, strategy.adaptation, sets, trained[strategy.name])
            for strategy in records.strategies
            if strategy.adaptation is not None and strategy.name in trained
        ],
    }


def _sets(study: Study, trained: Mapping[str, frozenset[str]]) -> dict[str, list[str]]:
    """Tasks that the same strategies trained on belong together."""
    said = {each.name: each.adaptation.train_on if each.adaptation else None for each in study.records.strategies}
    found: dict[str, list[str]] = {}
    for task in dict.fromkeys(study.records.unit(name).task for name in study.records.tasks):
        trainers = [name for name, tasks in trained.items() if task in tasks]
        named = list(dict.fromkeys(text for name in trainers if (text := said[name])))
        unnamed = [name for name in trainers if not said[name]]
        parts = [*named, *([f"the tasks of {' and '.join(unnamed)}"] if unnamed else [])]
        found.setdefault(" and ".join(parts) or OTHERS, []).append(task)
    return found


def _row(
    study: Study,
    strategy: StrategyOfRun,
    adaptation: Adaptation,
    sets: Mapping[str, Sequence[str]],
    trained: frozenset[str],
) -> Json:
    steps = {seed: steps for (seed, _), steps in study.records.lineages(strategy).items()}
    chosen = {
        seed: next(step for step in of_seed if step.step == settled(of_seed, adaptation))
        for seed, of_seed in steps.items()
    }
    first = next(iter(chosen.values()))
    group = next(each for each in study.groups if strategy.name in each.strategies)
    base = {unit.results.unit: unit for unit in group.units}
    adapted = {
        task.unit: _of_step(task, chosen.get(study.records.seed if task.seed is None else task.seed), strategy.margin)
        for task in study.results[strategy.name].tasks
    }
    return {
        "strategy": strategy.name,
        "step": first.step,
        "rollouts": first.rollouts,
        "chosen_on_itself": adaptation.checkpoint in ("best", "best-per-task") and not adaptation.holdout,
        "cells": {
            name: _cell(study.results[strategy.name], tasks, base, adapted, first.rollouts, set(tasks) <= trained)
            for name, tasks in sets.items()
        },
    }


def _of_step(task: TaskResults, step: AdaptationStep | None, margin: float) -> UnitSamples | None:
    """A task's rollouts of one step; None where there are not as many as it drew."""
    if step is None:
        return None
    span = range(step.first_index, step.first_index + step.rollouts)
    samples = tuple(sample for sample in task.samples if sample.index in span)
    if len(samples) < step.rollouts:
        return None
    return unit_samples(TaskResults(task=task.task, seed=task.seed, samples=samples), margin)


def _cell(
    results: StrategyResults,
    tasks: Sequence[str],
    base: Mapping[str, UnitSamples],
    adapted: Mapping[str, UnitSamples | None],
    rollouts: int,
    trained: bool,
) -> Json:
    units = [each for each in results.tasks if each.task in set(tasks)]
    if any(base[each.unit].n < rollouts for each in units):
        return {
            "trained": trained,
            "refusal": f"no strategy drew {rollouts} answers of the policy as loaded; add one that does: best-of-64",
        }
    sides = [(base[each.unit], after) for each in units if (after := adapted[each.unit]) is not None]
    if len(sides) < len(units):
        return {"trained": trained, "refusal": "the step that was settled on was not sampled on all of these tasks"}
    tasks_U = [each.task for each in units]

    def both(of: str, reading: str) -> Json:
        fast_US = numpy.array(
            [[_rate(side.fast_N[reading][:rollouts], of) for side in pair] for pair in sides], dtype=float
        )
        return {
            "base": rate_over_tasks(tasks_U, fast_US[:, 0]),
            "adapted": rate_over_tasks(tasks_U, fast_US[:, 1]),
            "difference": difference_over_tasks(tasks_U, fast_US[:, 1] - fast_US[:, 0]),
        }

    return {
        "trained": trained,
        "tasks": len(set(tasks_U)),
        **{of: {reading: both(of, reading) for reading in READINGS} for of in ("per_sample", "any_of_k")},
    }


def _rate(fast_N: Floats, of: str) -> float:
    return float(fast_N.mean() if of == "per_sample" else fast_N.any())
