"""Equivalent number of candidates: the K at which search's pass@K equals a given success.

Only meaningful where both sides are the same metric.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import exp, inf, lgamma
from typing import TYPE_CHECKING

from pytest_kernelbench.report.stats.intervals import Interval, clustered_rate, mean_band
from pytest_kernelbench.report.stats.k_curves import any_success_curve

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

Counts = Sequence[tuple[int, int]]  # candidates drawn and good ones
UNDER_ONE = 16  # points at which a curve is followed from K = 0 to 1
ROUNDING = 1e-12
FEW_SCORED = 4  # tasks; by benchmarks/intervals.py: without it 88 % where 1 in 20 of 20 tasks succeeds


def equivalent_k(n_and_f: Counts, score: float) -> float:
    """The real K > 0 at which the mean of pass@K over tasks equals ``score``; ``inf`` where no K <= n does.

    ``n_and_f`` has (drawn, good) for each task. Binomials are continued by the gamma function, so a score
    under that of one sample has a K below 1.
    """
    if not n_and_f:
        raise ValueError("no task")
    if score <= 0:
        return 0.0
    low, high = 0.0, float(min(n for n, _ in n_and_f))
    alike = Counter(n_and_f)

    def mean_success(k: float) -> float:
        return sum(times * _continued_success(n, f, k) for (n, f), times in alike.items()) / len(n_and_f)

    # The gamma function rounds where the binomials of ``any_success`` do not.
    if mean_success(high) < score - 1e-12:
        return inf
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_success(middle) < score else (low, middle)
    return high


@lru_cache(maxsize=1024)
def _curve(n: int, f: int) -> NDArray[numpy.float64]:
    """Success from K = 0 on, at ``UNDER_ONE`` points up to 1 and at every whole K."""
    import numpy

    under_one = [_continued_success(n, f, place / UNDER_ONE) for place in range(UNDER_ONE)]
    return numpy.concatenate([under_one, any_success_curve(n, f)])


def _continued_success(n: int, f: int, k: float) -> float:
    if f == 0:
        return 0.0
    if k >= n - f + 1:
        return 1.0
    return 1 - exp(lgamma(n - f + 1) - lgamma(n - f - k + 1) + lgamma(n - k + 1) - lgamma(n + 1))


def equivalent_k_interval(
    counts_by_task: Sequence[Counts], scores_by_task: Sequence[float], *, confidence: float = 0.95
) -> Interval | None:
    """Every K whose pass@K the scores may equal, by the interval of their mean difference over tasks.

    A K is among them where ``mean_interval`` of score minus pass@K, paired by task (the mean over its seeds), holds 0;
    it is 0 on average at the true K, so the interval holds that as often as a mean's does. With fewer than
    ``FEW_SCORED`` tasks that succeed, or that fail, an interval of a mean is too sure of them, and each K at which
    pass@K lies in the exact interval of the scores is among them too. The upper end is ``inf`` where the candidates
    drawn do not end it, the lower one at most their number. None where nothing is known of the spread: with fewer than
    two tasks, and where all agree. As Fieller's interval of a ratio (JRSS B 16, 1954).
    """
    import numpy

    if len(scores_by_task) < 2:
        return None
    most = min(n for counts in counts_by_task for n, _ in counts)
    k_G = numpy.concatenate([numpy.linspace(0, 1, UNDER_ONE, endpoint=False), numpy.arange(1, most + 1)])
    curves_TG = numpy.array([numpy.mean([_curve(n, f)[: len(k_G)] for n, f in counts], 0) for counts in counts_by_task])
    score_T = numpy.asarray(scores_by_task, dtype=float)
    more_TG = score_T[:, None] - curves_TG
    low_G, high_G = mean_band(more_TG, confidence=confidence)
    agree_G = numpy.isnan(low_G)
    if agree_G.all():
        return None
    low_G, high_G = (numpy.where(agree_G, more_TG.mean(axis=0), end_G) for end_G in (low_G, high_G))
    bands = [(low_G, high_G)]
    if min(score_T.sum(), (1 - score_T).sum()) < FEW_SCORED and (exact := clustered_rate(score_T, None, confidence)):
        success_G = curves_TG.mean(axis=0)
        bands.append((exact.low - success_G, exact.high - success_G))
    low = min(_crossing(k_G, low_G, low_G > ROUNDING, first=True) for low_G, _ in bands)
    high = max(_crossing(k_G, high_G, high_G >= -ROUNDING, first=False) for _, high_G in bands)
    return Interval(min(low, float(most)), high)


def _crossing(
    k_G: NDArray[numpy.float64], values_G: NDArray[numpy.float64], over_G: NDArray[numpy.bool_], *, first: bool
) -> float:
    """Where values that fall go through 0, the first time or the last, in a straight line between two points.

    ``inf`` where they end over 0, and the first K where they are never over it.
    """
    place = int((~over_G).argmax()) if first else len(over_G) - int(over_G[::-1].argmax())
    if over_G.all() or not over_G.any() or place == len(k_G):
        return inf if over_G[-1] else float(k_G[0])
    if place == 0:
        return float(k_G[0])
    before, after = max(values_G[place - 1], 0.0), min(values_G[place], 0.0)
    share = before / (before - after) if before > after else 1.0
    return float(k_G[place - 1] + (k_G[place] - k_G[place - 1]) * share)
