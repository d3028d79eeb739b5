"""Intervals over tasks, the unit that was drawn: candidates of one task share its difficulty.

A rate has Wilson's interval at the effective number of tasks, anything else a bootstrap over tasks. With five tasks a
plain percentile bootstrap holds a rate far less often than it says, and at 0 of 5 not at all: docs/measurements.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[numpy.float64]

RESAMPLES = 4000
NEXT_TO_NONE = 1e-9  # a rate that is as good as 0 or 1


class Interval(NamedTuple):
    low: float
    high: float


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval | None:
    """Wilson's score interval for a rate of ``successes`` in ``n`` independent trials; None for no trial.

    Unlike the normal interval it is not empty at 0 of n and n of n. Source: Wilson, JASA 22 (1927).
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials")
    if n == 0:
        return None
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At the ends the formula is exact, and rounding must not put the rate outside its own interval.
    return Interval(max(0.0, min(centre - half, rate)), min(1.0, max(centre + half, rate)))


def clustered_rate(
    successes_by_task: Sequence[float], trials_by_task: Sequence[float] | None = None, confidence: float = 0.95
) -> Interval | None:
    """Interval of successes / trials where trials of one task are alike; without trials each task has one vote.

    A vote may be a rate within the task. None where nothing is known of the spread between tasks: for no task, and for
    one that does not say yes or no.
    """
    import numpy

    successes_TX = numpy.asarray(successes_by_task, dtype=float)[:, None]
    trials_TX = 1.0 if trials_by_task is None else numpy.asarray(trials_by_task, dtype=float)[:, None]
    low_X, high_X = clustered_rate_band(successes_TX, trials_TX, confidence=confidence)
    return None if numpy.isnan(low_X[0]) else Interval(float(low_X[0]), float(high_X[0]))


def clustered_rate_band(
    successes_TX: Array, trials_TX: ArrayLike = 1.0, *, confidence: float = 0.95
) -> tuple[Array, Array]:
    """``clustered_rate`` at every point X of a curve; NaN where there is none.

    Wilson's interval for as many independent trials as would give the variance found between tasks, with Student's t
    for having found it from so few (Korn and Graubard, Survey Methodology 24, 1998). So few tasks may agree by chance,
    above all where next to none or next to all succeed: the variance is moderated towards that of T tasks that say yes
    or no, by a prior of 0.5 / (T p (1 - p)) degrees of freedom at the rate p (as Smyth, Stat. Appl. Genet. Mol. Biol.
    3, 2004; the 0.5 by benchmarks/intervals.py). Where each task does say yes or no, and where none or all succeed, the
    interval is Wilson's own.
    """
    import numpy
    from scipy.special import stdtrit

    successes_TX, trials_TX = numpy.broadcast_arrays(successes_TX, numpy.asarray(trials_TX, dtype=float))
    tasks_X, total_X = (trials_TX > 0).sum(axis=0), trials_TX.sum(axis=0)
    votes_X = ((trials_TX <= 1) & numpy.isin(successes_TX, (0, 1))).all(axis=0)
    with numpy.errstate(divide="ignore", invalid="ignore"):
        rate_X = successes_TX.sum(axis=0) / total_X
        of_votes_X = rate_X * (1 - rate_X)
        alike_X = total_X**2 / (trials_TX**2).sum(axis=0)  # as many tasks of equal weight
        prior_X = 0.5 / (alike_X * numpy.maximum(of_votes_X, NEXT_TO_NONE))
        squares_X = ((successes_TX - rate_X * trials_TX) ** 2).sum(axis=0) / total_X**2
        degrees_X = tasks_X - 1 + prior_X
        variance_X = (tasks_X * squares_X + prior_X * of_votes_X / alike_X) / degrees_X
        as_votes_X = votes_X | (of_votes_X <= NEXT_TO_NONE)
        n_X = numpy.where(as_votes_X, alike_X, of_votes_X / variance_X)
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        z_X = numpy.where(as_votes_X, z, stdtrit(numpy.minimum(degrees_X, 1e6), (1 + confidence) / 2))
        centre_X = (rate_X + z_X**2 / (2 * n_X)) / (1 + z_X**2 / n_X)
        half_X = z_X * numpy.sqrt(of_votes_X / n_X + (z_X / (2 * n_X)) ** 2) / (1 + z_X**2 / n_X)
    known_X = (tasks_X > 1) | ((tasks_X == 1) & votes_X)
    low_X = numpy.maximum(0.0, numpy.minimum(centre_X - half_X, rate_X))
    high_X = numpy.minimum(1.0, numpy.maximum(centre_X + half_X, rate_X))
    return numpy.where(known_X, low_X, numpy.nan), numpy.where(known_X, high_X, numpy.nan)


def median_interval(values_by_task: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Between two of the values, whatever their distribution; None where not even all of them hold that much.

    Source: Thompson, Annals of Mathematical Statistics 7 (1936).
    """
    from scipy.special import bdtr

    ordered, n = sorted(values_by_task), len(values_by_task)
    # The k-th value from either end leaves the median out where fewer than k of n even bets are won, or lost.
    held = [k for k in range(1, n // 2 + 1) if 1 - 2 * bdtr(k - 1, n, 0.5) >= confidence]
    return Interval(ordered[held[-1] - 1], ordered[-held[-1]]) if held else None


def clustered_bootstrap(
    values_by_task: Sequence[float], *, seed: int, resamples: int = RESAMPLES, confidence: float = 0.95
) -> Interval | None:
    """Percentile interval of the mean over tasks of one value per task: a log speed-up, a difference of rates.

    Tasks are drawn with replacement and keep all that was sampled for them. None where nothing is known of the spread
    between tasks: with fewer than two, and where all have the same value.
    """
    if not values_by_task:
        return None
    import numpy

    values_TX = numpy.asarray(values_by_task, dtype=float)[:, None]
    low_X, high_X = clustered_band(values_TX, seed=seed, resamples=resamples, confidence=confidence)
    return None if numpy.isnan(low_X[0]) else Interval(float(low_X[0]), float(high_X[0]))


def clustered_band(
    values_TX: Array, *, seed: int, resamples: int = RESAMPLES, confidence: float = 0.95
) -> tuple[Array, Array]:
    """``clustered_bootstrap`` at every point X of a curve, each resample drawing the same tasks for all of them."""
    import numpy

    tasks = len(values_TX)
    if tasks < 2:
        nothing_X = numpy.full(values_TX.shape[1], numpy.nan)
        return nothing_X, nothing_X
    tail = bootstrap_tail(tasks, confidence)
    means_RX = weights_of_tasks(tasks, seed, resamples) @ values_TX
    low_X, high_X = numpy.quantile(means_RX, [tail, 1 - tail], axis=0)
    agree_X = numpy.ptp(values_TX, axis=0) <= 1e-12 * numpy.abs(values_TX).max(axis=0)
    return numpy.where(agree_X, numpy.nan, low_X), numpy.where(agree_X, numpy.nan, high_X)


def bootstrap_tail(tasks: int, confidence: float) -> float:
    """What to cut off at either end of the resamples of so few tasks.

    Their percentiles are too narrow, by sqrt((T - 1) / T) and by being normal quantiles where Student's are due, and
    are moved out by as much. Source: Hesterberg, The American Statistician 69 (2015).
    """
    from scipy.special import ndtr, stdtrit

    return float(ndtr(-sqrt(tasks / (tasks - 1)) * stdtrit(tasks - 1, (1 + confidence) / 2)))


@lru_cache(maxsize=8)
def weights_of_tasks(tasks: int, seed: int, resamples: int) -> Array:
    """(R, T): how often each resample draws each task, as a share. A report asks for the same ones very often."""
    import numpy

    drawn_RT = numpy.random.default_rng(seed).integers(tasks, size=(resamples, tasks))
    cells = numpy.arange(resamples)[:, None] * tasks + drawn_RT
    weights_RT: Array = numpy.bincount(cells.ravel(), minlength=resamples * tasks).reshape(resamples, tasks) / tasks
    weights_RT.flags.writeable = False
    return weights_RT
