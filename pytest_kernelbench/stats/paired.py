"""Two strategies on the same tasks: effect size, sign test, signed-rank test, and what so few tasks can show."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import asin, comb, sqrt
from statistics import NormalDist
from typing import NamedTuple

from pytest_kernelbench.stats.rank_correlation import mean_ranks

LEVEL = 0.05


class SignTest(NamedTuple):
    """``p_one_sided`` is for more wins than losses; ties are left out."""

    wins: int
    losses: int
    ties: int
    p_one_sided: float
    p_two_sided: float


class SignedRank(NamedTuple):
    """``n`` differences that are not 0; ``statistic`` is the smaller sum of ranks."""

    n: int
    statistic: float
    p: float


def cohens_h(p: float, q: float) -> float:
    """Difference of two rates on the arcsine scale: 0.2 is small, 0.5 medium, 0.8 large.

    Source: Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), chapter 6.
    """
    return 2 * asin(sqrt(p)) - 2 * asin(sqrt(q))


def sign_test(differences: Sequence[float]) -> SignTest:
    """Exact, of one difference a task."""
    wins, losses = sum(each > 0 for each in differences), sum(each < 0 for each in differences)
    n = wins + losses
    return SignTest(
        wins=wins,
        losses=losses,
        ties=len(differences) - n,
        p_one_sided=_upper_tail(n, wins),
        p_two_sided=_sign_p(n, wins),
    )


def signed_rank(log_ratios: Sequence[float]) -> SignedRank | None:
    """Wilcoxon's two-sided test of one log ratio a task, those that are 0 left out; None where all are.

    Exact with ties too: the p-value counts the patterns of signs whose rank sum is as extreme.
    Source: Wilcoxon, Biometrics Bulletin 1 (1945).
    """
    import numpy

    differing = numpy.array([each for each in log_ratios if each != 0], dtype=float)
    if not len(differing):
        return None
    doubled_N = numpy.rint(2 * mean_ranks(numpy.abs(differing))).astype(int)  # whole numbers in spite of ties
    share_of_sum = numpy.ones(1)
    for rank in doubled_N:
        shifted = numpy.concatenate([numpy.zeros(rank), share_of_sum])
        share_of_sum = (numpy.concatenate([share_of_sum, numpy.zeros(rank)]) + shifted) / 2
    positive = int(doubled_N[differing > 0].sum())
    smaller = min(positive, int(doubled_N.sum()) - positive)
    p = min(1.0, 2 * float(share_of_sum[: smaller + 1].sum()))
    return SignedRank(n=len(differing), statistic=smaller / 2, p=p)


def sign_test_power(tasks: int, win_rate: float, loss_rate: float) -> float:
    """Probability that the two-sided sign test rejects at 5 %, if each task is a win or a loss at these rates."""
    import numpy
    from scipy.special import bdtr, bdtrc

    differing = win_rate + loss_rate
    if differing <= 0:
        return 0.0
    n = numpy.arange(tasks + 1)
    share_of_n = numpy.diff(bdtr(n, tasks, min(differing, 1.0)), prepend=0.0)
    critical = numpy.array([_critical_wins(int(each)) for each in n])
    share = win_rate / differing
    rejected = bdtrc(critical - 1, n, share) + bdtr(n - critical, n, share)
    return float(share_of_n @ numpy.where(critical <= n, rejected, 0.0))


def least_sign_p(tasks: int) -> float:
    """The smallest two-sided p-value that the sign test can give: every task won."""
    return _sign_p(tasks, tasks)


def tasks_needed(win_rate: float, loss_rate: float, power: float = 0.8, most: int = 500) -> int | None:
    """The least number of tasks that gives the two-sided sign test ``power``; None where not even ``most`` do."""
    if win_rate == loss_rate:
        return None
    normal = NormalDist()
    effect, differing = abs(win_rate - loss_rate), win_rate + loss_rate
    z = normal.inv_cdf(1 - LEVEL / 2) * sqrt(differing) + normal.inv_cdf(power) * sqrt(max(differing - effect**2, 0.0))
    # The exact test needs more than its normal approximation, whose n spares it the long way up from 1.
    start = max(1, int((z / effect) ** 2))
    return next((n for n in range(start, most + 1) if sign_test_power(n, win_rate, loss_rate) >= power), None)


@lru_cache(maxsize=2048)
def _critical_wins(n: int) -> int:
    """The fewest wins of ``n`` that the two-sided test rejects at; ``n + 1`` where none does."""
    import numpy
    from scipy.special import bdtrc

    return int(numpy.argmax(bdtrc(numpy.arange(-1, n + 1), n, 0.5) <= LEVEL / 2))


def _upper_tail(n: int, wins: int) -> float:
    return float(sum(comb(n, each) for each in range(wins, n + 1)) / 2**n)


def _sign_p(n: int, wins: int) -> float:
    return min(1.0, 2 * _upper_tail(n, max(wins, n - wins)))
