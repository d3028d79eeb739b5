"""Two strategies on the same tasks: effect size, sign test, signed-rank test, and what so few tasks can show."""

from __future__ import annotations

from collections.abc import Sequence
from math import asin, comb, sqrt
from typing import TYPE_CHECKING, NamedTuple

from pytest_kernelbench.report.stats.intervals import rounding_of
from pytest_kernelbench.report.stats.rank_correlation import mean_ranks

if TYPE_CHECKING:
    pass


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
    """Exact, of one difference a task; differences that are 0 but for rounding are ties.

    It assumes that a task is as likely to be won as lost, which holds of two selectors and not against an expectation.
    """
    import numpy

    rounding = float(rounding_of(numpy.asarray(differences, dtype=float)))
    wins, losses = sum(each > rounding for each in differences), sum(each < -rounding for each in differences)
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

    It assumes that under the null every difference is as likely to be positive as negative of the same size.
    Differences to an expectation over random choices are not: with 10 % of kernels at 3x it rejects a useless score in
    37 to 96 % of studies. Numbers that differ by rounding (1e-12 of the largest, or of 1) are ties, and 0 if they are
    that near to it. Exact with ties too: the p-value counts the patterns of signs whose rank sum is as extreme. Source:
    Wilcoxon, Biometrics Bulletin 1 (1945).
    """
    import numpy

    ratios = numpy.asarray(log_ratios, dtype=float)
    differing = ratios[numpy.abs(ratios) > rounding_of(ratios)]
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


def least_sign_p(tasks: int) -> float:
    """The smallest two-sided p-value that the sign test can give: every task won."""
    return _sign_p(tasks, tasks)


def _upper_tail(n: int, wins: int) -> float:
    return float(sum(comb(n, each) for each in range(wins, n + 1)) / 2**n)


def _sign_p(n: int, wins: int) -> float:
    return min(1.0, 2 * _upper_tail(n, max(wins, n - wins)))
