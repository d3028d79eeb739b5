"""For how many candidates of search something is worth: the K at which pass@K is as high.

Only meaningful where both sides are the same metric.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import exp, inf, lgamma
from typing import TYPE_CHECKING

from pytest_kernelbench.report.stats.intervals import RESAMPLES, Interval, bootstrap_tail, weights_of_tasks
from pytest_kernelbench.report.stats.k_curves import any_success_curve

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

Counts = Sequence[tuple[int, int]]  # candidates drawn and good ones
UNDER_ONE = 16  # points at which a curve is followed from K = 0 to 1


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
    counts_by_task: Sequence[Counts],
    scores_by_task: Sequence[float],
    *,
    seed: int,
    resamples: int = RESAMPLES // 4,
    confidence: float = 0.95,
) -> Interval | None:
    """Interval of ``equivalent_k`` over tasks, each drawn with its curve (the mean over its seeds) and its score.

    The upper end is ``inf`` where the interval goes on beyond the candidates drawn. None with fewer than two tasks, and
    where all scores are 0.
    """
    import numpy

    tasks = len(scores_by_task)
    if tasks < 2 or max(scores_by_task) <= 0:
        return None
    most = min(n for counts in counts_by_task for n, _ in counts)
    k_G = numpy.concatenate([numpy.linspace(0, 1, UNDER_ONE, endpoint=False), numpy.arange(1, most + 1)])
    curves_TG = numpy.array([numpy.mean([_curve(n, f)[: len(k_G)] for n, f in counts], 0) for counts in counts_by_task])
    weights_RT = weights_of_tasks(tasks, seed, resamples)
    curves_RG, scores_R = weights_RT @ curves_TG, weights_RT @ numpy.asarray(scores_by_task, dtype=float)
    reached_RG = curves_RG >= scores_R[:, None] - 1e-12
    after_R = reached_RG.argmax(axis=1)
    rows_R, before_R = numpy.arange(resamples), numpy.maximum(after_R - 1, 0)
    low_R, high_R = curves_RG[rows_R, before_R], curves_RG[rows_R, after_R]
    share_R = (scores_R - low_R) / numpy.where(high_R > low_R, high_R - low_R, 1.0)
    found_R = k_G[before_R] + numpy.clip(share_R, 0, 1) * (k_G[after_R] - k_G[before_R])
    found_R[~reached_RG.any(axis=1)] = inf
    tail = bootstrap_tail(tasks, confidence)
    low, high = numpy.quantile(found_R, [tail, 1 - tail], method="inverted_cdf")  # no mean of a number and infinity
    return Interval(float(low), float(high))
