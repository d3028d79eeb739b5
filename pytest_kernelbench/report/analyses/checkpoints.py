"""Which step each rule takes of each lineage, what its rollouts then show, and what was gained over step 0.

Lineages are trained apart: each seed, and with ``scope = "task"`` each task, settles on a step of its own, and the
values are averaged over units. One common step for all of them is nothing that anybody could have run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from pytest_kernelbench.report.analyses.estimates import difference_over_tasks

Floats = NDArray[numpy.float64]
Json = dict[str, Any]
Lineages = Sequence[Sequence[int]]  # places of the units of each


def checkpoint(rate_US: Floats, held_out_US: Floats, lineages: Lineages) -> Json:
    """CHECKPOINT of ``analysis.adaptation``; of equal steps of a lineage the earliest is taken."""
    best = [_best(rate_US[list(units)]) for units in lineages]
    stopped = [_stopped(rate_US[list(units)]) for units in lineages]
    held_out = [_best(held_out_US[list(units)]) for units in lineages]
    known = [step for step in best if step is not None]
    return {
        "best_step": _common(best),
        "best_steps": known,
        "value": _value(rate_US, lineages, best),
        "held_out_step": _common(held_out),
        "held_out_value": _value(rate_US, lineages, held_out),
        "early_stop_step": _common(stopped),
        "early_stop_value": _value(rate_US, lineages, stopped),
        "oracle_per_task": _mean_of_best(rate_US),
    }


def _mean_of_best(rate_US: Floats) -> float | None:
    """Mean over units of the rate at the unit's own best step. Units without rollouts are left out; None if all are."""
    known_U = ~numpy.isnan(rate_US).all(axis=1)
    return float(numpy.nanmax(rate_US[known_U], axis=1).mean()) if known_U.any() else None


def at_best(values_US: Floats, rate_US: Floats, lineages: Lineages) -> Floats:
    """(U,): ``values_US`` at the best step of each unit's lineage by ``rate_US``; NaN where there is none."""
    found_U = numpy.full(len(values_US), numpy.nan)
    for units in lineages:
        step = _best(rate_US[list(units)])
        if step is not None:
            found_U[list(units)] = values_US[list(units), step]
    return found_U


def against_start(tasks_U: Sequence[str], rate_US: Floats) -> Json:
    """The curve over steps of the paired differences to step 0, with intervals over tasks."""
    points = [difference_over_tasks(tasks_U, values_U) for values_U in (rate_US - rate_US[:, :1]).T]
    low, high = ([None if each is None else each[end] for each in points] for end in ("low", "high"))
    return {"value": [None if each is None else each["value"] for each in points], "low": low, "high": high}


def by_seed(seeds_U: Sequence[int | None], rate_US: Floats, seed: int) -> dict[str, list[float | None]]:
    """The trajectory of each seed: the mean over its tasks at each step."""
    found = {}
    for each in dict.fromkeys(seeds_U):
        mean_S = mean_over_units(rate_US[[place for place, of in enumerate(seeds_U) if of == each]])
        found[str(seed if each is None else each)] = [None if numpy.isnan(x) else float(x) for x in mean_S]
    return found


def mean_over_lineages(of_lineage: Callable[[Sequence[int]], float | None], lineages: Lineages) -> float | None:
    """Mean of a lineage's value, weighted by its number of units; None if the value of a lineage is not known."""
    values = [(of_lineage(units), len(units)) for units in lineages]
    if not values or any(value is None for value, _ in values):
        return None
    return sum(value * n for value, n in values if value is not None) / sum(n for _, n in values)


def mean_over_units(values_US: Floats) -> Floats:
    known = ~numpy.isnan(values_US)
    total = numpy.where(known, values_US, 0.0).sum(axis=0)
    return numpy.where(known.any(axis=0), total / numpy.maximum(known.sum(axis=0), 1), numpy.nan)


def _best(rate_US: Floats) -> int | None:
    mean_S = mean_over_units(rate_US)
    return None if numpy.isnan(mean_S).all() else int(numpy.nanargmax(mean_S))


def _stopped(rate_US: Floats) -> int:
    """The last step before the first that is no better than the one before it."""
    mean_S = mean_over_units(rate_US)
    step = 0
    while step + 1 < len(mean_S) and mean_S[step + 1] > mean_S[step]:
        step += 1
    return step


def _common(steps: Sequence[int | None]) -> int | None:
    return steps[0] if steps and len(set(steps)) == 1 else None


def _value(rate_US: Floats, lineages: Lineages, steps: Sequence[int | None]) -> float | None:
    """Mean over units of the rate at their lineage's step; None where a lineage has none, or no rollouts of it."""
    means = [
        numpy.nan if step is None else mean_over_units(rate_US[list(units)])[step]
        for units, step in zip(lineages, steps, strict=True)
    ]
    weights = [len(units) for units in lineages]
    value = float(numpy.average(means, weights=weights)) if means else numpy.nan
    return None if numpy.isnan(value) else value
