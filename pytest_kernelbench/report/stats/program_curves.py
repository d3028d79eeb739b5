"""Success with K of n candidates, where a program that was drawn several times is one program.

As ``k_curves``, exact means over all K-subsets for every K from 1 to n; but a subset's choice is among the distinct
programs that it holds. ``counts`` say how often each correct program was drawn; the candidates of ``n`` that are in
none of them are incorrect. A program ranks by one score, whichever of its answers a subset holds.

Tables are ``[..., K]``: the mean of something over the subsets of K of the candidates handled so far, 0 <= K. Two
groups of candidates are joined by weighing with the hypergeometric chance of how the K fall on them, so that every
number is a mean of what it counts and nothing overflows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_kernelbench.report.stats.k_curves import any_success_curve, log_comb_up_to

if TYPE_CHECKING:
    import numpy
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[numpy.float64]

# A smaller chance cannot be told from the rounding of 1 - 1, and counts as none.
LEAST_CHANCE = 1e-12


def ranked_program_mean_curve(values_ranked: ArrayLike, counts_ranked: Sequence[int], n: int) -> Floats:
    """Mean value of the first-ranked program of K candidates; 0 for a subset without a correct one.

    It is the first-ranked unless a program before it was drawn too.
    """
    import numpy

    found, before, at_least = numpy.zeros(n), 0, numpy.zeros(n)
    for value, count in zip(numpy.asarray(values_ranked, dtype=float), counts_ranked, strict=True):
        before += count
        with_this = any_success_curve(n, before)
        found = found + value * (with_this - at_least)
        at_least = with_this
    return found


def top_program_success_curve(fast_ranked: ArrayLike, counts_ranked: Sequence[int], n: int, m: int) -> Floats:
    """Probability that one of the first ``m`` programs of K candidates, in ranking order, is fast."""
    import numpy

    if m < 1:
        raise ValueError(f"m must be at least 1, not {m}")
    # failing[r, K]: r programs were seen and none of the first m is fast; r = m stays, whatever comes after.
    failing, size = _nothing(m + 1), 0
    for fast, count in zip(numpy.asarray(fast_ranked, dtype=bool), counts_ranked, strict=True):
        absent, present = _absent(count), _present(count)
        joined = _joined(failing, size, absent, count)
        seen = _joined(failing, size, present, count)
        if not fast:
            joined[1:] += seen[:-1]
        joined[m] += seen[m]
        failing, size = joined, size + count
    return _success(failing.sum(axis=0), size, n)


def random_program_success_curve(fast: Sequence[bool], counts: Sequence[int], n: int, m: int) -> Floats:
    """Probability that one of ``m`` programs taken at random from those of K candidates is fast (of all, if fewer)."""
    import numpy
    from scipy.special import comb

    if m < 1:
        raise ValueError(f"m must be at least 1, not {m}")
    kinds = list(zip(fast, counts, strict=True))
    quick_HK, quick = _how_many([count for is_fast, count in kinds if is_fast])
    slow_HK, slow = _how_many([count for is_fast, count in kinds if not is_fast])
    h_fast, h_slow = numpy.arange(len(quick_HK))[:, None], numpy.arange(len(slow_HK))[None, :]
    taken = numpy.minimum(h_fast + h_slow, m)
    failure_HH = comb(h_slow, taken) / comb(h_fast + h_slow, taken)
    weights_KT = _shares(quick, slow)
    failing_K = numpy.zeros(quick + slow + 1)
    for k in range(quick + slow + 1):
        of_quick = numpy.arange(max(0, k - slow), min(quick, k) + 1)
        both_HH = (quick_HK[:, of_quick] * weights_KT[k, of_quick]) @ slow_HK[:, k - of_quick].T
        failing_K[k] = (both_HH * failure_HH).sum()
    return _success(failing_K, quick + slow, n)


def random_program_mean_curve(values: Sequence[float], counts: Sequence[int], n: int) -> Floats:
    """Mean value of one program taken at random from those of K candidates; 0 for a subset without a correct one."""
    import numpy

    most = len(counts)
    number, total, size = _nothing(most + 1), numpy.zeros((most + 1, 1)), 0
    for value, count in zip(values, counts, strict=True):
        absent, present = _absent(count), _present(count)
        total_joined = _joined(total, size, absent, count)
        total_joined[1:] += _joined(total, size, present, count)[:-1]
        seen = _joined(number, size, present, count)
        total_joined[1:] += value * seen[:-1]
        joined = _joined(number, size, absent, count)
        joined[1:] += seen[:-1]
        number, total, size = joined, total_joined, size + count
    mean_K = (total[1:] / numpy.arange(1, most + 1)[:, None]).sum(axis=0)
    return _of_all(mean_K, size, n)


def _how_many(counts: Sequence[int]) -> tuple[Floats, int]:
    """(H, K): the chance of H programs among K of the candidates, and how many candidates these are."""
    number, size = _nothing(len(counts) + 1), 0
    for count in counts:
        joined = _joined(number, size, _absent(count), count)
        joined[1:] += _joined(number, size, _present(count), count)[:-1]
        number, size = joined, size + count
    return number, size


def _nothing(rows: int) -> Floats:
    """No candidate handled: certainly no program."""
    import numpy

    table = numpy.zeros((rows, 1))
    table[0, 0] = 1.0
    return table


def _absent(count: int) -> Floats:
    import numpy

    table = numpy.zeros(count + 1)
    table[0] = 1.0
    return table


def _present(count: int) -> Floats:
    import numpy

    table = numpy.ones(count + 1)
    table[0] = 0.0
    return table


def _joined(table_RK: Floats, size: int, of_group: Floats, count: int) -> Floats:
    import numpy

    weights_KT = _shares(count, size)
    joined_RK = numpy.zeros((len(table_RK), size + count + 1))
    for taken in numpy.flatnonzero(of_group):
        span = slice(taken, taken + size + 1)
        joined_RK[:, span] += table_RK * (weights_KT[span, taken] * of_group[taken])
    return joined_RK


def _success(failing_K: Floats, size: int, n: int) -> Floats:
    import numpy

    success_K = numpy.clip(1 - _of_all(failing_K, size, n), 0.0, 1.0)
    return numpy.where(success_K < LEAST_CHANCE, 0.0, success_K)


def _of_all(mean_K: Floats, size: int, n: int) -> Floats:
    """Of K from 1 of all ``n`` candidates, the others being incorrect."""
    return _joined(mean_K[None, :], size, _absent_or_present(n - size), n - size)[0][1:]


def _absent_or_present(count: int) -> Floats:
    import numpy

    return numpy.ones(count + 1)


@lru_cache(maxsize=1024)
def _shares(first: int, second: int) -> Floats:
    """(K, T): the chance that of K of first + second candidates T are among the first."""
    import numpy

    log_comb = log_comb_up_to(first + second)
    k, t = numpy.arange(first + second + 1)[:, None], numpy.arange(first + 1)[None, :]
    shares: Floats = numpy.exp(log_comb(first, t) + log_comb(second, k - t) - log_comb(first + second, k))
    shares.flags.writeable = False
    return shares
