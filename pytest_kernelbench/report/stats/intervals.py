"""Intervals over tasks, the unit that was drawn: candidates of one task share its difficulty.

A rate has Clopper and Pearson's interval at the effective number of tasks, a mean the hull of Student's and Hall's. How
often each holds is in docs/measurements.md. No interval of a mean can know of a kind of task that is none of those
drawn: with fewer than ``FEW`` tasks a kind that is one in ten is missed by more than one study in twenty.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from pytest_kernelbench.records import Task

if TYPE_CHECKING:
    import numpy
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[numpy.float64]

NEXT_TO_NONE = 1e-9  # a rate that is as good as 0 or 1
SAME = 1e-12  # relative difference of two numbers that are one but for rounding
LEAST_DEGREES = 1.999  # two: of two tasks with equal variances there are exactly two, but for rounding
NO_INTERVAL = "no interval holds"
# Tasks carry a mean if without them its standard deviation falls to this share or less.
CARRIED = 0.2
FEW = 29  # 0.9 ** 28 is 5.2 %, 0.9 ** 29 is 4.7 %


class Interval(NamedTuple):
    low: float
    high: float


def clopper_pearson(successes: float, n: float, confidence: float = 0.95) -> Interval | None:
    """Exact interval for a rate of ``successes`` in ``n`` independent trials; None for no trial.

    It holds the rate at least as often as it says, however rare successes are: where 3 in 100 succeed, Wilson's score
    interval of 5 to 20 trials holds it in 86 % of studies. Source: Clopper and Pearson, Biometrika 26 (1934).
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials")
    if n == 0:
        return None
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return Interval(low, high)


def clustered_rate(
    successes_by_task: Sequence[float], trials_by_task: Sequence[float] | None = None, confidence: float = 0.95
) -> Interval | None:
    """Interval of successes / trials where trials of one task are alike; without trials each task has one vote.

    A vote may be a rate within the task. None where nothing is known of the spread between tasks: for no task, and for
    one that does not say yes or no. Where tasks have unequal numbers of trials, a few of them may hold most successes:
    the interval is then the hull of ``clustered_rate_band`` and ``mean_band`` of the tasks' parts of the rate
    (linearised: Woodruff, JASA 66, 1971). The former alone holds the rate in 90 % of studies of 20 and of 40 tasks
    where 1 in 20 is solved and those have most trials, the hull in 93 and 96 % (benchmarks/intervals.py).
    """
    import numpy

    successes_T = numpy.asarray(successes_by_task, dtype=float)
    trials_T = numpy.ones(len(successes_T)) if trials_by_task is None else numpy.asarray(trials_by_task, dtype=float)
    successes_T, trials_T = successes_T[trials_T > 0], trials_T[trials_T > 0]
    (low,), (high,) = clustered_rate_band(successes_T[:, None], trials_T[:, None], confidence=confidence)
    if numpy.isnan(low):
        return None
    if len(trials_T) and not differ_by_rounding(trials_T):
        rate = successes_T.sum() / trials_T.sum()
        parts_T = rate + (successes_T - rate * trials_T) / trials_T.mean()
        (mean_low,), (mean_high,) = mean_band(parts_T[:, None], confidence=confidence)
        low, high = numpy.fmin(low, max(mean_low, 0.0)), numpy.fmax(high, min(mean_high, 1.0))
    return Interval(float(low), float(high))


def clustered_rate_band(
    successes_TX: Array, trials_TX: ArrayLike = 1.0, *, confidence: float = 0.95
) -> tuple[Array, Array]:
    """``clustered_rate`` at every point X of a curve; NaN where there is none.

    Clopper and Pearson's interval for as many independent trials as would give the variance found between tasks, fewer
    for having found it from so few (Korn and Graubard, Survey Methodology 24, 1998). So few tasks may agree by chance,
    above all where next to none or next to all succeed: the variance is moderated towards that of T tasks that say yes
    or no, by a prior of 0.5 / (T p (1 - p)) degrees of freedom at the rate p (as Smyth, Stat. Appl. Genet. Mol. Biol.
    3, 2004; the 0.5 by benchmarks/intervals.py). Where each task does say yes or no, and where none or all succeed, the
    interval is the exact one of T trials.
    """
    import numpy
    from scipy.special import betaincinv, stdtrit

    successes_TX, trials_TX = numpy.broadcast_arrays(successes_TX, numpy.asarray(trials_TX, dtype=float))
    tasks_X, total_X = (trials_TX > 0).sum(axis=0), trials_TX.sum(axis=0)
    is_vote_TX = numpy.minimum(numpy.abs(successes_TX), numpy.abs(successes_TX - 1)) <= SAME
    votes_X = ((trials_TX <= 1) & is_vote_TX).all(axis=0)
    tail = (1 - confidence) / 2
    with numpy.errstate(divide="ignore", invalid="ignore"):
        rate_X = numpy.minimum(successes_TX.sum(axis=0) / total_X, 1.0)
        of_votes_X = rate_X * (1 - rate_X)
        alike_X = total_X**2 / (trials_TX**2).sum(axis=0)  # as many tasks of equal weight
        prior_X = 0.5 / (alike_X * numpy.maximum(of_votes_X, NEXT_TO_NONE))
        squares_X = ((successes_TX - rate_X * trials_TX) ** 2).sum(axis=0) / total_X**2
        degrees_X = numpy.minimum(tasks_X - 1 + prior_X, 1e6)
        variance_X = (tasks_X * squares_X + prior_X * of_votes_X / alike_X) / (tasks_X - 1 + prior_X)
        as_votes_X = votes_X | (of_votes_X <= NEXT_TO_NONE)
        narrower_X = (NormalDist().inv_cdf(1 - tail) / stdtrit(degrees_X, 1 - tail)) ** 2
        n_X = numpy.where(as_votes_X, alike_X, of_votes_X / variance_X * narrower_X)
        good_X = rate_X * n_X
        low_X = numpy.where(good_X > 0, betaincinv(good_X, n_X - good_X + 1, tail), 0.0)
        high_X = numpy.where(rate_X < 1, betaincinv(good_X + 1, n_X - good_X, 1 - tail), 1.0)
    known_X = (tasks_X > 1) | ((tasks_X == 1) & votes_X)
    # Where next to none or all succeed, rounding must not put the rate outside its own interval.
    low_X, high_X = numpy.minimum(low_X, rate_X), numpy.maximum(high_X, rate_X)
    return numpy.where(known_X, low_X, numpy.nan), numpy.where(known_X, high_X, numpy.nan)


def median_interval(values_by_task: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Between two of the values, whatever their distribution; None where not even all of them hold that much.

    Source: Thompson, Annals of Mathematical Statistics 7 (1936).
    """
    from scipy.special import bdtr

    ordered, n = sorted(values_by_task), len(values_by_task)
    # The k-th value from either end leaves the median out where fewer than k of n even bets are won, or lost.
    held = [k for k in range(1, n // 2 + 1) if 1 - 2 * bdtr(k - 1, n, 0.5) >= confidence]
    return Interval(ordered[held[-1] - 1], ordered[-held[-1]]) if held else None


def mean_interval(values_by_task: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Interval of the mean over tasks of one value per task: a log speed-up, a difference of rates.

    None where nothing is known of the spread between tasks: with fewer than two, and where all have the same value.
    ``carried_by`` and ``FEW`` say where it cannot be relied on.
    """
    if not values_by_task:
        return None
    import numpy

    low_X, high_X = mean_band(numpy.asarray(values_by_task, dtype=float)[:, None], confidence=confidence)
    return None if numpy.isnan(low_X[0]) else Interval(float(low_X[0]), float(high_X[0]))


def mean_band(values_TX: Array, *, confidence: float = 0.95) -> tuple[Array, Array]:
    """``mean_interval`` at every point X of a curve; NaN where there is none.

    The hull of Student's interval and of Hall's, which moves the ends by the skewness found: Student's alone holds a
    mean of 10 tasks of which a few have large values in 82 % of studies, the hull in 94 % (benchmarks/intervals.py).
    Source: Hall, Journal of the Royal Statistical Society B 54 (1992), the transformation that can be inverted.
    """
    import numpy
    from scipy.special import stdtrit

    tasks = len(values_TX)
    if tasks < 2:
        nothing_X = numpy.full(values_TX.shape[1], numpy.nan)
        return nothing_X, nothing_X
    mean_X = values_TX.mean(axis=0)
    off_TX = values_TX - mean_X
    agree_X = differ_by_rounding(values_TX)
    spread_X = numpy.where(agree_X, 1.0, numpy.sqrt((off_TX**2).mean(axis=0)))
    skew_X = (off_TX**3).mean(axis=0) / spread_X**3
    # As the skewness goes to 0, Hall's interval goes to Student's: dividing by it is put off where it is next to 0.
    skew_X = numpy.where(numpy.abs(skew_X) < 1e-6, 1e-6, skew_X)
    unit_X = spread_X * sqrt(tasks / (tasks - 1))
    quantile = float(stdtrit(tasks - 1, (1 + confidence) / 2)) / sqrt(tasks)

    def by_hall(of_normal: float) -> Array:
        inverse: Array = 3 / skew_X * (numpy.cbrt(1 + skew_X * (of_normal - skew_X / (6 * tasks))) - 1)
        return mean_X - unit_X * inverse

    low_X = numpy.minimum(mean_X - unit_X * quantile, by_hall(quantile))
    high_X = numpy.maximum(mean_X + unit_X * quantile, by_hall(-quantile))
    return numpy.where(agree_X, numpy.nan, low_X), numpy.where(agree_X, numpy.nan, high_X)


def rounding_of(values_TX: Array) -> Array:
    """How far apart values of a column may lie and still be one value: 1e-12 of the largest, or of 1 if that is more.

    Logarithms and rates of the same records differ by 1e-16 according to the order in which they were added. Infinities
    are left out.
    """
    import numpy

    largest_X: Array = numpy.abs(values_TX).max(axis=0, initial=1.0, where=numpy.isfinite(values_TX))
    return SAME * largest_X


def differ_by_rounding(values_TX: Array) -> NDArray[numpy.bool_]:
    """Whether all values of a column are one value but for rounding."""
    import numpy

    alike_X: NDArray[numpy.bool_] = numpy.ptp(values_TX, axis=0) <= rounding_of(values_TX)
    return alike_X


def carried_by(values_by_task: Sequence[float]) -> tuple[int, ...]:
    """Places of the one or two tasks that make up nearly all of the spread, so that no interval of a mean holds.

    Without them the standard deviation would be a fifth or less. Empty where the tasks share it, where they agree and
    where there are fewer than four.
    """
    import numpy

    values_T = numpy.asarray(values_by_task, dtype=float)
    if len(values_T) < 4 or differ_by_rounding(values_T):
        return ()
    farthest_first = numpy.argsort(-numpy.abs(values_T - numpy.median(values_T)), kind="stable")
    for few in (1, 2):
        rest_T = values_T[farthest_first[few:]]
        if rest_T.std() <= CARRIED * values_T.std():
            return tuple(int(place) for place in farthest_first[:few])
    return ()


def warning_of(tasks: int, carriers: Sequence[str]) -> str | None:
    """What an interval of a mean over so few tasks cannot know, in one line; ``carriers`` are those of
    ``carried_by``.
    """
    if carriers:
        named = " and ".join(Task(id=each, source="").short_id for each in carriers)
        return f"{named} of {tasks} tasks {'carry' if len(carriers) > 1 else 'carries'} this mean: {NO_INTERVAL}"
    if 1 < tasks < FEW:
        missed = 100 * 0.9**tasks
        return f"of {tasks} tasks: {missed:.0f} % of samples this small miss a kind that makes up 10 % of all tasks"
    return None


def fixed_warning_of(values: int) -> str | None:
    """What a ``fixed_task_interval`` of so few tasks and seeds together cannot know, in one line.

    Five tasks of three seeds that choose between 1x and 3x: the interval holds the mean in 95 % of studies over sets of
    tasks (benchmarks/intervals.py), and in 70 % of those of a set where a choice that is seldom made decides.
    """
    if values >= FEW:
        return None
    missed = 100 * 0.9**values
    return f"of {values} choices: {missed:.0f} % of samples this small miss what happens in 10 % of cases"


def fixed_task_interval(values_by_task: Sequence[Sequence[float]], confidence: float = 0.95) -> Interval | None:
    """Interval of the mean over these very tasks, from the spread between the seeds of each.

    It says what other seeds would give on the tasks that there are, and nothing of other tasks. None where a task has
    one value, where none differ between seeds, and where they differ so rarely that less than two degrees of freedom
    are left. Source: Satterthwaite, Biometrics Bulletin 2 (1946).
    """
    import numpy
    from scipy.special import stdtrit

    if not values_by_task or any(len(each) < 2 for each in values_by_task):
        return None
    tasks = len(values_by_task)
    of_task_TS = [numpy.asarray(each, dtype=float) for each in values_by_task]
    variance_T = numpy.array([0.0 if differ_by_rounding(each_S) else each_S.var(ddof=1) for each_S in of_task_TS])
    sizes_T = numpy.array([len(each_S) for each_S in of_task_TS])
    parts_T = variance_T / sizes_T / tasks**2
    variance = float(parts_T.sum())
    if variance == 0:
        return None
    # As shares of the sum: the square of a small one would be 0.
    degrees = 1 / float(((parts_T / variance) ** 2 / (sizes_T - 1)).sum())
    if degrees < LEAST_DEGREES:
        return None
    mean = float(numpy.mean([numpy.mean(each) for each in values_by_task]))
    half = float(stdtrit(degrees, (1 + confidence) / 2)) * sqrt(variance)
    return Interval(mean - half, mean + half)
