"""Correct candidates in quartiles of surprisal, pooled as in the paper and within each task.

Pooling compares tasks with each other: a task whose answers are all improbable fills the first quartile. One
entry of ``analyses["quartiles"]`` for each set of candidates that has log-probabilities::

    {"strategies": [name, ...],
     "pooled": {"mean": [QUARTILE, x4], "sum": [QUARTILE, x4]},
     "within_task": {"mean": [QUARTILE, x4], "sum": [QUARTILE, x4]}}

    QUARTILE = {"quartile": 1, "n": 137, "fast_1": estimate, "fast_1_raw": estimate,
                "mean_speedup": x | null, "geomean_speedup": x | null, "mean_tokens": x | null}

Quartile 1 holds the most surprising. A pooled rate weighs a task by how many of its candidates the quartile holds;
those within tasks are means over tasks. Both have intervals over tasks. Candidates without a log-probability are in no
quartile, those without a speed-up in no mean of speed-ups. A program that was drawn often is in a quartile as often, as
in the paper; ``calibration`` counts each once.
"""

from __future__ import annotations

import numpy
from numpy.typing import NDArray

from pytest_kernelbench.report.analyses.base import (
    ANSWER,
    SCORES,
    Floats,
    Json,
    SampleGroup,
    UnitSamples,
    for_each_group,
)
from pytest_kernelbench.report.stats import clustered_rate

QUARTILES = 4


def of_group(group: SampleGroup) -> Json | None:
    if not group.ranked():
        return None
    return {
        "pooled": {score: _pooled(group, score) for score in SCORES},
        "within_task": {score: _within_task(group, score) for score in SCORES},
    }


quartiles = for_each_group(of_group)


def quartile_of_rank(c: int) -> NDArray[numpy.int64]:
    """The quartile, from 0, of each of ``c`` ranks: as equal in size as can be."""
    return (numpy.arange(c) * QUARTILES // max(c, 1)).astype(numpy.int64)


def _pooled(group: SampleGroup, score: str) -> list[Json]:
    """All correct candidates of all tasks in one ranking."""
    columns = {
        name: numpy.concatenate([values for unit in group.units for values in [_correct(unit, name, score)]])
        for name in ("logprob", "verified", "raw", "speedup", "tokens")
    }
    tasks = list(dict.fromkeys(group.tasks_U))
    columns["task"] = numpy.concatenate(
        [numpy.full(_has_score(unit, score).sum(), tasks.index(unit.results.task)) for unit in group.units]
    )
    order = numpy.argsort(columns["logprob"], kind="stable")
    membership = quartile_of_rank(len(order))
    rows = []
    for quartile in range(QUARTILES):
        members = {name: values[order][membership == quartile] for name, values in columns.items()}
        rows.append(
            {
                "quartile": quartile + 1,
                "n": len(members["speedup"]),
                "fast_1": _rate(members["verified"], members["task"]),
                "fast_1_raw": _rate(members["raw"], members["task"]),
                **_means(members["speedup"], members["tokens"]),
            }
        )
    return rows


def _within_task(group: SampleGroup, score: str) -> list[Json]:
    """Each unit's own quartiles, averaged over tasks; a unit with fewer than four correct ones is left out."""
    ranked = {}
    for place, unit in enumerate(group.units):
        keys = unit.logprob_N[ANSWER][score]
        places = numpy.flatnonzero(unit.correct_N & ~numpy.isnan(keys))
        if len(places) >= QUARTILES:
            order = places[numpy.argsort(keys[places], kind="stable")]
            ranked[place] = (order, quartile_of_rank(len(order)))
    rows = []
    for quartile in range(QUARTILES):
        rates = {reading: numpy.full(len(group.units), numpy.nan) for reading in ("verified", "raw")}
        speedups, tokens = [], []
        for place, (order, membership) in ranked.items():
            members, unit = order[membership == quartile], group.units[place]
            for reading, values_U in rates.items():
                values_U[place] = unit.fast_N[reading][members].mean()
            speedups.append(unit.speedup_N[members])
            tokens.append(unit.tokens_N[members])
        rows.append(
            {
                "quartile": quartile + 1,
                "n": sum(map(len, speedups)),
                "fast_1": group.rate(rates["verified"]),
                "fast_1_raw": group.rate(rates["raw"]),
                **_means(_joined(speedups), _joined(tokens)),
            }
        )
    return rows


def _has_score(unit: UnitSamples, score: str) -> NDArray[numpy.bool_]:
    return unit.correct_N & ~numpy.isnan(unit.logprob_N[ANSWER][score])


def _correct(unit: UnitSamples, name: str, score: str) -> Floats:
    column = {
        "logprob": unit.logprob_N[ANSWER][score],
        "speedup": unit.speedup_N,
        "tokens": unit.tokens_N,
        **unit.fast_N,
    }[name]
    return column[_has_score(unit, score)]


def _joined(arrays: list[Floats]) -> Floats:
    return numpy.concatenate(arrays) if arrays else numpy.zeros(0)


def _rate(fast: Floats, task: NDArray[numpy.int64]) -> Json | None:
    if not len(fast) or numpy.isnan(fast).any():
        return None
    interval = clustered_rate(numpy.bincount(task, fast).tolist(), numpy.bincount(task).tolist())
    low, high = interval or (None, None)
    tasks = len(set(task.tolist()))
    return {"value": float(fast.mean()), "low": low, "high": high, "tasks": tasks, "warning": None, "fixed": None}


def _means(speedups: Floats, tokens: Floats) -> Json:
    timed, counted = speedups[~numpy.isnan(speedups)], tokens[~numpy.isnan(tokens)]
    return {
        "mean_speedup": float(timed.mean()) if len(timed) else None,
        "geomean_speedup": float(numpy.exp(numpy.log(timed).mean())) if len(timed) else None,
        "mean_tokens": float(counted.mean()) if len(counted) else None,
    }
