"""When to stop drawing: rules that look at what came so far, replayed on stored candidates, against a fixed K.

One entry of ``analyses["adaptive_k"]`` for each set of candidates of which nothing was drawn after a verdict::

    {"strategies": [name, ...], "of": COUNTS, "units": 20,
     "posterior": [{"cost": c, "answers": x, "success": x, "fixed_success": x, "gain": estimate}, ...],
     "pandora": [{"cost": c, "answers": x, "geomean_speedup": x, "fixed_geomean_speedup": x, "gain": estimate}, ...]}

``posterior`` stops at the first verified fast candidate, or when the posterior mean of the chance that the next one is
fast, from a Beta(1/2, 1/2) prior, falls under ``cost``, in fast kernels an answer. ``pandora`` (Weitzman, Econometrica
47, 1979) stops at the first candidate whose log speed-up reaches the reservation value z, E[max(X - z, 0)] = ``cost``,
X being drawn from the candidates of all other tasks. ``fixed_...`` is a fixed K that takes as many ``answers`` on
average, between two whole K in proportion; ``gain`` the difference by task (of success, or of mean log speed-ups). All
are exact means over the orders in which the candidates may have come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy

from pytest_kernelbench.report.analyses.base import Floats, Json, SampleGroup, UnitSamples, for_each_group
from pytest_kernelbench.report.analyses.scaling import any_fast_curve
from pytest_kernelbench.report.stats import any_success_curve, expected_max_curve
from pytest_kernelbench.search.stopping import chance_of_first

COSTS = (0.1, 0.05, 0.02, 0.01, 0.005)


def of_group(group: SampleGroup) -> Json | None:
    units = [place for place, unit in enumerate(group.units) if unit.is_timed]
    if len({group.tasks_U[place] for place in units}) < 2:
        return None
    known = [group.units[place] for place in units]
    verified = not any(numpy.isnan(unit.fast_N["verified"]).any() for unit in known)
    return {
        "units": len(units),
        "posterior": [_posterior(group, units, cost) for cost in COSTS] if verified else [],
        "pandora": [_pandora(group, units, cost) for cost in COSTS],
    }


adaptive_k = for_each_group(of_group)


def posterior_stop(cost: float) -> int:
    """After how many failures the posterior mean of success is above ``cost`` no more: the rule of ``[stopping]``."""
    failures = 1
    while chance_of_first(failures) > cost:
        failures += 1
    return failures


def reservation(values: Floats, cost: float) -> float:
    """The z with E[max(X - z, 0)] = ``cost``, by bisection; the least value where even that costs more than it
    gives.
    """
    low, high = float(values.min()) - 1.0, float(values.max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if numpy.maximum(values - middle, 0).mean() > cost else (low, middle)
    return max(high, float(values.min()))


def gains(unit: UnitSamples) -> Floats:
    """Log speed-up of each candidate over staying with the reference: 0 for one that is incorrect or slower."""
    known = numpy.where(unit.correct_N, unit.speedup_N, 1.0)
    return numpy.maximum(numpy.log(known), 0.0)


def answers_until(n: int, good: int, most: int) -> float:
    """Mean of the place of the first good one of n candidates, or ``most`` where it comes later."""
    most = min(most, n)
    reached_K = any_success_curve(n, good)
    return float(1 + (1 - reached_K[: most - 1]).sum())


def _posterior(group: SampleGroup, units: Sequence[int], cost: float) -> Json:
    known = [group.units[place] for place in units]
    most = posterior_stop(cost)
    answers = [answers_until(unit.n, int(unit.fast_N["verified"].sum()), most) for unit in known]
    success = [float(any_fast_curve(unit, "verified")[min(most, unit.n) - 1]) for unit in known]
    fixed = _fixed(known, float(numpy.mean(answers)), lambda unit: any_fast_curve(unit, "verified"))
    return {
        "cost": cost,
        "answers": float(numpy.mean(answers)),
        "success": float(numpy.mean(success)),
        "fixed_success": float(numpy.mean(fixed)),
        "gain": group.difference(_scattered(group, units, numpy.subtract(success, fixed))),
    }


def _pandora(group: SampleGroup, units: Sequence[int], cost: float) -> Json:
    known = [group.units[place] for place in units]
    answers, reached = [], []
    for unit in known:
        others = numpy.concatenate([gains(each) for each in known if each.results.task != unit.results.task])
        mine = gains(unit)
        good = mine >= reservation(others, cost)
        answers.append(answers_until(unit.n, int(good.sum()), unit.n))
        reached.append(float(mine[good].mean()) if good.any() else float(mine.max()))
    fixed = _fixed(known, float(numpy.mean(answers)), lambda unit: expected_max_curve(gains(unit)))
    return {
        "cost": cost,
        "answers": float(numpy.mean(answers)),
        "geomean_speedup": float(numpy.exp(numpy.mean(reached))),
        "fixed_geomean_speedup": float(numpy.exp(numpy.mean(fixed))),
        "gain": group.estimate(_scattered(group, units, numpy.subtract(reached, fixed))),
    }


def _fixed(units: Sequence[UnitSamples], k: float, curve_of: Callable[[UnitSamples], Floats]) -> list[float]:
    """Each unit's curve at a K that need not be whole."""
    return [float(numpy.interp(k, numpy.arange(1, unit.n + 1), curve_of(unit))) for unit in units]


def _scattered(group: SampleGroup, units: Sequence[int], values: Floats) -> Floats:
    found_U = numpy.full(len(group.units), numpy.nan)
    found_U[list(units)] = values
    return found_U
