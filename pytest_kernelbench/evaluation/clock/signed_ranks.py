"""The centre of log-ratios that lie symmetrically around the truth, with an exact interval.

The order of the two turns of a pair is drawn, so what disturbs one of them falls on either side with the same
probability: around the truth the log-ratios are symmetric, whatever the noise is like. Then the means of any two of
them (Walsh averages) lie around it too, and Wilcoxon's signed-rank statistic, whose distribution is known exactly, says
how many of these lie below it. The interval is a quarter narrower than that of the median at 22 pairs and more.

Source: Hodges and Lehmann, Estimates of location based on rank tests (1963).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np


class Centre(NamedTuple):
    """The Hodges-Lehmann estimate, and the bounds of the interval: infinite where there are too few values."""

    middle: float
    low: float
    high: float


def centre_of(values: Sequence[float], confidence: float) -> Centre:
    """The centre of what ``values`` are drawn from, and an interval that holds it with at least ``confidence``.

    Raises ValueError where there are no values.
    """
    if not values:
        raise ValueError("a centre needs at least one value")
    one, other = np.triu_indices(len(values))
    at = np.asarray(values)
    averages = np.sort((at[one] + at[other]) / 2)
    middle = float(np.median(averages))
    rank = rank_of_bounds(len(values), confidence)
    if rank is None:
        return Centre(middle, -np.inf, np.inf)
    return Centre(middle, float(averages[rank]), float(averages[-1 - rank]))


@cache
def rank_of_bounds(n: int, confidence: float) -> int | None:
    """Rank of the Walsh average, from 0 and from either end, that bounds the interval; None: ``n`` values are too few.

    P(average_(r) < centre < average_(-1-r)) = 1 - 2 P(W <= r).
    """
    # Each rank has a sign, + or - with equal probability. shares[w]: the probability that those with a + add up to w.
    shares = np.ones(1)
    for rank in range(1, n + 1):
        added = np.zeros(len(shares) + rank)
        added[: len(shares)] += shares / 2
        added[rank:] += shares / 2
        shares = added
    below = np.flatnonzero(1 - 2 * np.cumsum(shares) >= confidence)
    return int(below[-1]) if len(below) else None
