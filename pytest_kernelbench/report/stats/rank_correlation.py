"""Spearman's rank correlation, raw and with a third quantity held fixed."""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial, sqrt
from typing import TYPE_CHECKING, NamedTuple

from pytest_kernelbench.report.stats.intervals import rounding_of

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Column = Sequence[float] | NDArray[numpy.float64]


class Correlation(NamedTuple):
    """``p`` is two-sided, by Student's t."""

    rho: float
    p: float


def spearman(x: Column, y: Column) -> Correlation | None:
    """Rank correlation; None with fewer than three pairs, or where x or y does not vary.

    Source: Spearman, American Journal of Psychology 15 (1904).
    """
    rho = _rank_rho(x, y)
    return None if rho is None else Correlation(rho, _p_of(rho, len(x) - 2, len(x)))


def partial_spearman(x: Column, y: Column, z: Column) -> Correlation | None:
    """Rank correlation of x and y with that of both with z taken out; None where it is not defined.

    ``z`` that does not vary takes nothing out, and costs no degree of freedom.
    """
    xy, xz, yz = _rank_rho(x, y), _rank_rho(x, z), _rank_rho(y, z)
    if xy is None:
        return None
    if xz is None or yz is None:
        return Correlation(xy, _p_of(xy, len(x) - 2, len(x)))
    left = (1 - xz**2) * (1 - yz**2)
    if len(x) < 4 or left <= 1e-12:
        return None
    rho = max(-1.0, min(1.0, (xy - xz * yz) / sqrt(left)))
    return Correlation(rho, _p_of(rho, len(x) - 3, len(x)))


def mean_ranks(values: Column) -> NDArray[numpy.float64]:
    """From 1 up, values that are equal but for rounding the mean of the ranks that they take.

    (scipy.stats has it for equal values, and takes 0.5 s to import.)
    """
    import numpy

    given = numpy.asarray(values, dtype=float)
    order = numpy.argsort(given, kind="stable")
    ordered = given[order]
    rounding = rounding_of(given)
    # Not by the difference, which of two infinities is no number.
    group = numpy.concatenate([[0], numpy.cumsum(ordered[1:] > ordered[:-1] + rounding)])[: len(given)].astype(int)
    count = numpy.bincount(group)
    ranks = numpy.empty(len(given))
    ranks[order] = (numpy.cumsum(count) - (count - 1) / 2)[group]
    return ranks


def _rank_rho(x: Column, y: Column) -> float | None:
    import numpy

    if len(x) < 3:
        return None
    ranks_x, ranks_y = (mean_ranks(each) - (len(each) + 1) / 2 for each in (x, y))
    norm = sqrt(float(ranks_x @ ranks_x) * float(ranks_y @ ranks_y))
    return float(numpy.clip(ranks_x @ ranks_y / norm, -1, 1)) if norm else None


def _p_of(rho: float, degrees: int, n: int) -> float:
    from scipy.special import stdtr

    # Student's t says 0 for a perfect order, however short; chance gives it once in n! / 2.
    least = 2 / factorial(n) if n < 20 else 0.0
    if abs(rho) >= 1:
        return least
    return max(least, float(2 * stdtr(degrees, -abs(rho) * sqrt(degrees / (1 - rho**2)))))
