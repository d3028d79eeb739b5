"""Two treatments of the same tasks: would the mean difference be as large if the two had been exchanged at random?"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from pytest_kernelbench.report.stats.intervals import rounding_of

EXACT_TASKS = 14  # 2 ** 14 exchanges are counted, more are drawn
DRAWS = 20_000


class SignFlips(NamedTuple):
    """``p`` is two-sided; ``p_error`` its standard error where exchanges were drawn, 0 where all were counted."""

    p: float
    exact: bool
    p_error: float


def sign_flip_test(differences: Sequence[float], *, seed: int) -> SignFlips | None:
    """Paired randomisation test of one difference a task; None without a task.

    If the two are alike, either could have been the first, in each task for itself: the sign of its difference is a
    fair coin. Unlike Wilcoxon's test it is of the mean. Source: Fisher, The Design of Experiments (1935), section 21.
    """
    import numpy

    if not len(differences):
        return None
    found_T = numpy.asarray(differences, dtype=float)
    tasks = len(found_T)
    exact = tasks <= EXACT_TASKS
    if exact:
        bits_RT = (numpy.arange(2**tasks)[:, None] >> numpy.arange(tasks)) & 1
    else:
        bits_RT = numpy.random.default_rng(seed).integers(2, size=(DRAWS, tasks))
    means_R = numpy.abs((2 * bits_RT - 1) @ found_T)
    rounding = tasks * float(rounding_of(found_T))
    as_large = int((means_R >= abs(found_T.sum()) - rounding).sum())
    if exact:
        return SignFlips(p=as_large / len(means_R), exact=True, p_error=0.0)
    p = (as_large + 1) / (DRAWS + 1)
    return SignFlips(p=p, exact=False, p_error=sqrt(p * (1 - p) / DRAWS))
