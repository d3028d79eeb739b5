"""Intervals: Wilson's for a rate over tasks, a bootstrap over tasks for anything averaged within them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Array = NDArray[numpy.float64]


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


def clustered_bootstrap(
    values_by_task: Sequence[float], *, seed: int, resamples: int = 2000, confidence: float = 0.95
) -> Interval | None:
    """Percentile interval of the mean over tasks of one value per task (a rate within it, a log speed-up).

    Tasks are drawn with replacement and keep all that was sampled for them: candidates of one task share
    its difficulty, so they are not independent and the task is the unit. None with fewer than two tasks,
    which say nothing about the spread between tasks.
    """
    if len(values_by_task) < 2:
        return None
    import numpy

    values_TX = numpy.asarray(values_by_task, dtype=float)[:, None]
    low_X, high_X = clustered_band(values_TX, seed=seed, resamples=resamples, confidence=confidence)
    return Interval(float(low_X[0]), float(high_X[0]))


def clustered_band(
    values_TX: Array, *, seed: int, resamples: int = 2000, confidence: float = 0.95
) -> tuple[Array, Array]:
    """``clustered_bootstrap`` at every point X of a curve, each resample drawing the same tasks for all of them."""
    import numpy

    weights_RT = _weights_of_tasks(len(values_TX), seed, resamples)
    tail = (1 - confidence) / 2
    low_X, high_X = numpy.quantile(weights_RT @ values_TX, [tail, 1 - tail], axis=0)
    return low_X, high_X


@lru_cache(maxsize=8)
def _weights_of_tasks(tasks: int, seed: int, resamples: int) -> Array:
    """(R, T): how often each resample draws each task, as a share. A report asks for the same ones very often."""
    import numpy

    drawn_RT = numpy.random.default_rng(seed).integers(tasks, size=(resamples, tasks))
    cells = numpy.arange(resamples)[:, None] * tasks + drawn_RT
    weights_RT: Array = numpy.bincount(cells.ravel(), minlength=resamples * tasks).reshape(resamples, tasks) / tasks
    weights_RT.flags.writeable = False
    return weights_RT
