"""The estimators of ``k_subsets`` for every K from 1 to n at once, in log space, so that n may be thousands.

``n`` candidates were drawn, ``c`` of them are correct, ``f`` of these are fast. Each function returns an array of
n values, the first for K = 1. Weights rather than values are cached: tasks of one run share n.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    from numpy.typing import ArrayLike, NDArray

    Curve = NDArray[numpy.float64]


@lru_cache(maxsize=1024)
def any_success_curve(n: int, f: int) -> Curve:
    """``any_success`` for every K: pass@K."""
    import numpy

    log_comb, k = _tables(n)
    curve: Curve = 1 - numpy.exp(log_comb(n - f, k) - log_comb(n, k))
    curve.flags.writeable = False
    return curve


def expected_max_curve(scores: ArrayLike) -> Curve:
    """``expected_max`` for every K."""
    import numpy

    best_first = numpy.sort(numpy.asarray(scores, dtype=float))[::-1]
    return best_first @ first_of_subset_weights(len(best_first))


def argmax_mean_curve(values_ranked: ArrayLike, n: int) -> Curve:
    """``argmax_mean`` for every K."""
    import numpy

    values_C = numpy.asarray(values_ranked, dtype=float)
    return values_C @ first_of_subset_weights(n)[: len(values_C)]


def random_top_m_success_curve(n: int, c: int, f: int, m: int) -> Curve:
    """``random_top_m_success`` for every K."""
    import numpy

    if c == 0:
        return numpy.zeros(n)
    log_comb, k = _tables(n)
    correct_H = numpy.arange(min(c, n) + 1)[:, None]
    share_HK = numpy.exp(log_comb(c, correct_H) + log_comb(n - c, k - correct_H) - log_comb(n, k))
    looked_at = numpy.minimum(correct_H, m)
    success_H = 1 - numpy.exp(log_comb(c - f, looked_at) - log_comb(c, looked_at))
    curve: Curve = (share_HK * success_H).sum(axis=0)
    return curve


def top_m_success_curve(fast_ranked: ArrayLike, n: int, m: int) -> Curve:
    """``top_m_success`` for every K."""
    import numpy

    log_comb, k = _tables(n)
    fast_C = numpy.asarray(fast_ranked, dtype=bool)
    c = len(fast_C)
    slow_ranks = numpy.flatnonzero(~fast_C)[:, None] + 1
    w = len(slow_ranks)
    too_few_R = numpy.arange(m)[:, None]
    failures = numpy.exp(log_comb(w, too_few_R) + log_comb(n - c, k - too_few_R) - log_comb(n, k)).sum(axis=0)
    before = numpy.arange(w)[:, None]
    failures += numpy.exp(log_comb(before, m - 1) + log_comb(n - slow_ranks, k - m) - log_comb(n, k)).sum(axis=0)
    # Rounding in log space must not leave the range of a probability.
    success: Curve = numpy.clip(1 - failures, 0.0, 1.0)
    return success


def distinct_curve(counts: Sequence[int], n: int) -> Curve:
    """Mean number of kinds among K of n candidates, ``counts`` of which are of each kind: rarefaction.

    Candidates of no kind (an answer without source) are in n only. Source: Hurlbert, Ecology 52 (1971).
    """
    import numpy

    return numpy.sum([any_success_curve(n, count) for count in counts], axis=0) if counts else numpy.zeros(n)


@lru_cache(maxsize=64)
def first_of_subset_weights(n: int) -> Curve:
    """``weights[j, K - 1]``: the share of K-subsets of n whose first-ranked member has rank ``j`` (0-based)."""
    import numpy

    log_comb, k = _tables(n)
    after = n - 1 - numpy.arange(n)[:, None]
    weights: Curve = numpy.exp(log_comb(after, k - 1) - log_comb(n, k))
    weights.flags.writeable = False
    return weights


@lru_cache(maxsize=64)
def _tables(n: int) -> tuple[Any, Any]:
    """``log_comb_up_to(n)``, and K = 1 ... n."""
    import numpy

    return log_comb_up_to(n), numpy.arange(1, n + 1)


def log_comb_up_to(n: int) -> Any:
    """The logarithm of a binomial of numbers up to n, -inf where it is 0."""
    import numpy
    from scipy.special import gammaln

    log_factorial = gammaln(numpy.arange(n + 2) + 1.0)

    def log_comb(of: Any, taken: Any) -> Any:
        of, taken = numpy.broadcast_arrays(of, taken)
        possible = (taken >= 0) & (taken <= of)
        of, taken = numpy.where(possible, of, 0), numpy.where(possible, taken, 0)
        logarithm = log_factorial[of] - log_factorial[taken] - log_factorial[of - taken]
        return numpy.where(possible, logarithm, -numpy.inf)

    return log_comb
