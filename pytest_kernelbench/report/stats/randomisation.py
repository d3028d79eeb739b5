"""A score against chance: would the choices be as good if the score said nothing of the programs it ranks?

The randomisation test within tasks. A task has programs, each with what choosing it gives (its log speed-up, or 1 if it
is fast). A selector looks at the ``top`` first by its score and takes the fastest of these. If the score is unrelated
to what a program gives, every order of a task's programs is equally likely, whatever the speed-ups look like and
however often each program was drawn: that is all that the test assumes. Seeds of a task share its programs, and so
their order.

Source: Fisher, The Design of Experiments (1935), chapter 3; Pitman, JRSS Supplement 4 (1937).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from pytest_kernelbench.report.stats.intervals import rounding_of
from pytest_kernelbench.report.stats.k_curves import first_of_subset_weights

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    Floats = NDArray[numpy.float64]

LEVEL = 0.05
DRAWS = 20_000  # a p of 0.05 is then known to 0.0015
MOST_SUMS = 20_000  # of values over tasks, beyond which they are drawn and not listed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskPrograms:
    """The correct programs of a task: ``value_SP`` is what choosing one gives and ``speed_SP`` decides which of those
    looked at is taken, for each of S seeds; NaN where a seed did not draw the program, or has no correct one of it."""

    value_SP: Floats
    speed_SP: Floats


class RandomisationTest(NamedTuple):
    """``statistic`` is the mean over tasks, ``expected`` that of a score that says nothing, their difference the
    effect.

    ``exact``: every order was counted; else ``draws`` orders were drawn, and ``p_error`` is the standard error of the
    two-sided p. ``least_p`` is the smallest two-sided p that these programs can give.
    """

    statistic: float
    expected: float
    p_one_sided: float
    p_two_sided: float
    least_p: float
    exact: bool
    draws: int | None
    p_error: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NullDistribution:
    """Of the mean over tasks under orders that say nothing: values in ascending order and their chances."""

    value_X: Floats
    chance_X: Floats
    exact: bool

    @property
    def expected(self) -> float:
        return float(self.value_X @ self.chance_X)

    def p_values(self, statistics: Floats) -> tuple[Floats, Floats]:
        """One-sided, for a larger mean, and two-sided: twice the smaller tail. A drawn null counts the choice
        itself.
        """
        import numpy

        rounding = float(rounding_of(self.value_X))
        up_to = numpy.concatenate([[0.0], numpy.cumsum(self.chance_X)])
        above = 1 - up_to[numpy.searchsorted(self.value_X, statistics - rounding, side="left")]
        below = up_to[numpy.searchsorted(self.value_X, statistics + rounding, side="right")]
        if not self.exact:
            n = len(self.value_X)
            above, below = (above * n + 1) / (n + 1), (below * n + 1) / (n + 1)
        above, below = numpy.clip(above, 0.0, 1.0), numpy.clip(below, 0.0, 1.0)
        return above, numpy.minimum(1.0, 2 * numpy.minimum(above, below))


def null_distribution(
    tasks: Sequence[TaskPrograms], top: int, *, seed: int, against_last: bool = False, draws: int = DRAWS
) -> NullDistribution:
    """Of the mean over ``tasks`` of what the ``top`` first of a random order give, less that of the ``top`` last.

    ``against_last`` is for two selectors of which one ranks the other way round. Counted where each task has one seed
    and the sums are not too many, else drawn.
    """
    import numpy

    if not tasks:
        raise ValueError("no task")
    if not against_last and all(len(task.value_SP) == 1 for task in tasks):
        counted = _summed([_of_task(task, top) for task in tasks])
        if counted is not None:
            return NullDistribution(value_X=counted[0] / len(tasks), chance_X=counted[1], exact=True)
    total_R = numpy.zeros(draws)
    for number, task in enumerate(tasks):
        total_R += _drawn(task, top, (seed, number), draws, against_last)
    return NullDistribution(
        value_X=numpy.sort(total_R / len(tasks)), chance_X=numpy.full(draws, 1 / draws), exact=False
    )


def randomisation_test(statistic: float, null: NullDistribution) -> RandomisationTest:
    """Whether ``statistic``, the mean over tasks of what a selector's choices give, is what ``null`` gives."""
    import numpy

    above, both = null.p_values(numpy.array([statistic]))
    _, ends = null.p_values(null.value_X[[0, -1]])
    p, n = float(both[0]), len(null.value_X)
    return RandomisationTest(
        statistic=statistic,
        expected=null.expected,
        p_one_sided=float(above[0]),
        p_two_sided=p,
        least_p=float(ends.min()),
        exact=null.exact,
        draws=None if null.exact else n,
        p_error=0.0 if null.exact else sqrt(p * (2 - p) / n),
    )


class Power(NamedTuple):
    """Chance that the two-sided test rejects at 5 %, if the score is right in a ``share`` of tasks: it then takes the
    best that there is, and any program elsewhere. ``effect`` is what that adds to the mean over tasks."""

    share: float
    effect: float
    power: float
    error: float


def power_at(
    tasks: Sequence[TaskPrograms],
    top: int,
    share: float,
    *,
    seed: int,
    null: NullDistribution,
    draws: int = DRAWS // 4,
) -> Power:
    """Of the test on these very tasks. Counted where ``null`` is, else by as many draws."""
    import numpy

    best_T = numpy.array([_best(task) for task in tasks])
    effect = share * (float(best_T.mean()) - null.expected)
    if null.exact:
        mixed = _summed([_mixture(*_of_task(task, top), best, share) for task, best in zip(tasks, best_T, strict=True)])
        if mixed is not None:
            _, p_X = null.p_values(mixed[0] / len(tasks))
            return Power(share=share, effect=effect, power=float(mixed[1][p_X <= LEVEL].sum()), error=0.0)
    rng = numpy.random.default_rng(seed + 1)
    total_R = numpy.zeros(draws)
    for number, (task, best) in enumerate(zip(tasks, best_T, strict=True)):
        by_chance_R = _drawn(task, top, (seed + 1, number), draws, against_last=False)
        total_R += numpy.where(rng.random(draws) < share, best, by_chance_R)
    _, p_R = null.p_values(total_R / len(tasks))
    power = float((p_R <= LEVEL).mean())
    return Power(share=share, effect=effect, power=power, error=sqrt(power * (1 - power) / draws))


def largest_effect(tasks: Sequence[TaskPrograms], null: NullDistribution) -> float:
    """What choosing the best program of every task adds to the mean over tasks."""
    import numpy

    return float(numpy.mean([_best(task) for task in tasks])) - null.expected


def detectable(
    tasks: Sequence[TaskPrograms], top: int, *, seed: int, null: NullDistribution, power: float = 0.8
) -> Power | None:
    """The least effect that the test finds with ``power``, to a hundredth of the tasks; None where it finds none so
    often.

    Unlike power at the effect that was observed, which is the p-value in other units, it does not depend on the result.
    Source: Hoenig and Heisey, The American Statistician 55 (2001).
    """
    if power_at(tasks, top, 1.0, seed=seed, null=null).power < power:
        return None
    low, high = 0, 100
    while high - low > 1:
        middle = (low + high) // 2
        enough = power_at(tasks, top, middle / 100, seed=seed, null=null).power >= power
        low, high = (low, middle) if enough else (middle, high)
    return power_at(tasks, top, high / 100, seed=seed, null=null)


def _best(task: TaskPrograms) -> float:
    """Mean over seeds of the fastest program's value; 0 where a seed has no correct one."""
    import numpy

    values = [
        value_P[numpy.nanargmax(speed_P)] if not numpy.isnan(speed_P).all() else 0.0
        for value_P, speed_P in zip(task.value_SP, task.speed_SP, strict=True)
    ]
    return float(numpy.mean(values))


def _of_task(task: TaskPrograms, top: int) -> tuple[Floats, Floats]:
    """Values and chances of the fastest of ``top`` of a random order, of a task with one seed."""
    import numpy

    there = ~numpy.isnan(task.value_SP[0])
    value_C, speed_C = task.value_SP[0][there], task.speed_SP[0][there]
    c = len(value_C)
    if c == 0:
        return numpy.zeros(1), numpy.ones(1)
    fastest_first = numpy.argsort(-speed_C, kind="stable")
    return value_C[fastest_first], first_of_subset_weights(c)[:, min(top, c) - 1]


def _mixture(values: Floats, chances: Floats, best: float, share: float) -> tuple[Floats, Floats]:
    import numpy

    return numpy.append(values, best), numpy.append((1 - share) * chances, share)


def _summed(parts: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats] | None:
    """Distribution of the sum of independent values, in ascending order; None where there are too many sums."""
    import numpy

    value_X, chance_X = numpy.zeros(1), numpy.ones(1)
    for values, chances in parts:
        if len(value_X) * len(values) > 4 * MOST_SUMS:
            return None
        sums = numpy.add.outer(value_X, values).ravel()
        both = numpy.multiply.outer(chance_X, chances).ravel()
        order = numpy.argsort(sums, kind="stable")
        sums, both = sums[order], both[order]
        # Sums that differ by rounding are one sum.
        starts = numpy.flatnonzero(numpy.diff(sums, prepend=-numpy.inf) > rounding_of(sums))
        value_X, chance_X = sums[starts], numpy.add.reduceat(both, starts)
        value_X, chance_X = value_X[chance_X > 0], chance_X[chance_X > 0]
        if len(value_X) > MOST_SUMS:
            return None
    return value_X, chance_X


def _drawn(task: TaskPrograms, top: int, seed: tuple[int, int], draws: int, against_last: bool) -> Floats:
    """(R,): what the first ``top`` of a random order give, mean over seeds, less what the last give if asked for."""
    import numpy

    total_R = numpy.zeros(draws)
    speeds, shape = task.speed_SP.tobytes(), task.speed_SP.shape
    for value_P, chosen_R in zip(task.value_SP, _chosen(speeds, shape, top, False, seed, draws), strict=True):
        total_R += 0.0 if chosen_R is None else value_P[chosen_R]
    for value_P, chosen_R in (
        zip(task.value_SP, _chosen(speeds, shape, top, True, seed, draws), strict=True) if against_last else ()
    ):
        total_R -= 0.0 if chosen_R is None else value_P[chosen_R]
    return total_R / len(task.value_SP)


@lru_cache(maxsize=512)
def _chosen(
    speeds: bytes, shape: tuple[int, int], top: int, last: bool, seed: tuple[int, int], draws: int
) -> tuple[NDArray[numpy.intp] | None, ...]:
    """For each seed of a task, the program that each random order has chosen; None where none is correct.

    Kept, for several outcomes of the same choices are tested.
    """
    import numpy

    speed_SP = numpy.frombuffer(speeds).reshape(shape)
    keys_RP = numpy.random.default_rng(seed).random((draws, shape[1]))
    found: list[NDArray[numpy.intp] | None] = []
    for speed_P in speed_SP:
        there = numpy.flatnonzero(~numpy.isnan(speed_P))
        # Programs stand fastest first: the one with the lowest place among the ``top`` is chosen.
        fastest_first = there[numpy.argsort(-speed_P[there], kind="stable")]
        keys_RC = keys_RP[:, fastest_first]
        found.append(fastest_first[_place_of_fastest(-keys_RC if last else keys_RC, top)] if len(there) else None)
    return tuple(found)


def _place_of_fastest(keys_RC: Floats, top: int) -> NDArray[numpy.int64]:
    """The lowest place among the ``top`` smallest keys of each row."""
    import numpy

    c = keys_RC.shape[1]
    if top >= c:
        return numpy.zeros(len(keys_RC), dtype=numpy.int64)
    if top == 1:
        return numpy.asarray(keys_RC.argmin(axis=1), dtype=numpy.int64)
    limit_R1 = numpy.partition(keys_RC, top - 1, axis=1)[:, top - 1 : top]
    return numpy.asarray((keys_RC <= limit_R1).argmax(axis=1), dtype=numpy.int64)
