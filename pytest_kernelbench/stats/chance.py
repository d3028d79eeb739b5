"""A choice against chance: each task's success compared with the exact rate at which random choices succeed there."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from pytest_kernelbench.stats.paired import LEVEL

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray


class ChanceTest(NamedTuple):
    """``least_p`` is the smallest two-sided p-value that these rates can give; one-sided is for more successes."""

    successes: int
    expected: float
    p_one_sided: float
    p_two_sided: float
    least_p: float


class Power(NamedTuple):
    """Of the test at 5 %, two-sided: for the tasks at hand, and how many would give 80 %; None for no effect."""

    at_observed: float
    tasks_for_80_percent: int | None


def chance_test(successes: Sequence[bool], rates: Sequence[float], tasks: Sequence[str] | None = None) -> ChanceTest:
    """Exact test that each success has the probability ``rates`` says: over tasks the sum is then Poisson-binomial.

    Where ``rates`` are those of a random choice among the same candidates, this is the randomisation test of a
    score that says nothing about them. A sign test against expectations would not be: a success with a rate of
    0.3 is not an even bet. Of several trials of one task (its seeds, which draw the same programs) ``tasks`` says so:
    they are taken to succeed together as far as their rates allow, which spreads their sum the most.
    Source: Hodges and Le Cam, Annals of Mathematical Statistics 31 (1960).
    """
    import numpy

    chances = numpy.ones(1)
    for of_task in _by_task(rates, tasks):
        chances = numpy.convolve(chances, _together(of_task))
    observed = sum(map(bool, successes))
    above, below = float(chances[observed:].sum()), float(chances[: observed + 1].sum())
    return ChanceTest(
        successes=observed,
        expected=float(sum(rates)),
        p_one_sided=min(1.0, above),
        p_two_sided=min(1.0, 2 * min(above, below)),
        least_p=min(1.0, 2 * float(min(chances[0], chances[-1]))),
    )


def chance_power(
    successes: Sequence[bool], rates: Sequence[float], tasks: Sequence[str] | None = None, power: float = 0.8
) -> Power:
    """By the normal approximation, for an effect and a spread of successes over rates, task by task, as observed."""
    import numpy

    differences = [float(success) - rate for success, rate in zip(successes, rates, strict=True)]
    differences_T = numpy.array([sum(each) for each in _by_task(differences, tasks)])
    n, effect = len(differences_T), abs(float(differences_T.mean()))
    if effect < 1e-12:
        return Power(at_observed=LEVEL, tasks_for_80_percent=None)
    normal = NormalDist()
    variances = [_variance(_together(each)) for each in _by_task(rates, tasks)]
    needed_under_chance = normal.inv_cdf(1 - LEVEL / 2) * sqrt(float(numpy.mean(variances)))
    spread = max(float(differences_T.std()), 1e-9)
    return Power(
        at_observed=normal.cdf((effect * sqrt(n) - needed_under_chance) / spread),
        tasks_for_80_percent=int(numpy.ceil(((needed_under_chance + normal.inv_cdf(power) * spread) / effect) ** 2)),
    )


def _by_task(values: Sequence[float], tasks: Sequence[str] | None) -> list[list[float]]:
    if tasks is None:
        return [[value] for value in values]
    found: dict[str, list[float]] = {}
    for task, value in zip(tasks, values, strict=True):
        found.setdefault(task, []).append(value)
    return list(found.values())


def _together(rates: Sequence[float]) -> NDArray[numpy.float64]:
    """Chance of 0, 1, ... successes if one uniform number decides all: at least j as often as the j-th highest rate."""
    import numpy

    at_least = [1.0, *sorted(rates, reverse=True), 0.0]
    return -numpy.diff(at_least)


def _variance(chances: NDArray[numpy.float64]) -> float:
    import numpy

    counts = numpy.arange(len(chances))
    mean = float(chances @ counts)
    return float(chances @ (counts - mean) ** 2)
