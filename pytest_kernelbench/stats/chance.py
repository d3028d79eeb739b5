"""A choice against chance: each task's success compared with the exact rate at which random choices succeed there."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

from pytest_kernelbench.stats.paired import LEVEL


class ChanceTest(NamedTuple):
    """``least_p`` is the smallest two-sided p-value that these rates can give; one-sided is for more successes."""

    successes: int
    expected: float
    p_one_sided: float
    p_two_sided: float
    least_p: float


class Power(NamedTuple):
    """Of the test at 5 %, two-sided: for the trials at hand, and how many would give 80 %; None for no effect."""

    at_observed: float
    trials_for_80_percent: int | None


def chance_test(successes: Sequence[bool], rates: Sequence[float]) -> ChanceTest:
    """Exact test that each success has the probability ``rates`` says: the sum is then Poisson-binomial.

    Where ``rates`` are those of a random choice among the same candidates, this is the randomisation test of a
    score that says nothing about them. A sign test against expectations would not be: a success with a rate of
    0.3 is not an even bet. Source: Hodges and Le Cam, Annals of Mathematical Statistics 31 (1960).
    """
    import numpy

    chances = numpy.ones(1)
    for rate in rates:
        chances = numpy.convolve(chances, [1 - rate, rate])
    observed = sum(map(bool, successes))
    above, below = float(chances[observed:].sum()), float(chances[: observed + 1].sum())
    return ChanceTest(
        successes=observed,
        expected=float(sum(rates)),
        p_one_sided=min(1.0, above),
        p_two_sided=min(1.0, 2 * min(above, below)),
        least_p=min(1.0, 2 * float(min(chances[0], chances[-1]))),
    )


def chance_power(successes: Sequence[bool], rates: Sequence[float], power: float = 0.8) -> Power:
    """By the normal approximation, for an effect and a spread of ``success - rate`` as observed."""
    import numpy

    differences = numpy.asarray(successes, dtype=float) - numpy.asarray(rates, dtype=float)
    n, effect = len(differences), abs(float(differences.mean()))
    if effect < 1e-12:
        return Power(at_observed=LEVEL, trials_for_80_percent=None)
    normal = NormalDist()
    needed_under_chance = normal.inv_cdf(1 - LEVEL / 2) * sqrt(float(numpy.mean([rate * (1 - rate) for rate in rates])))
    spread = max(float(differences.std()), 1e-9)
    return Power(
        at_observed=normal.cdf((effect * sqrt(n) - needed_under_chance) / spread),
        trials_for_80_percent=int(numpy.ceil(((needed_under_chance + normal.inv_cdf(power) * spread) / effect) ** 2)),
    )
