"""Power of a planned study by simulation, from a run's records or from named assumptions.

A planned study is drawn again and again: tasks with their programs, of which K answers a seed show some. In a ``share``
of its tasks the score is right and takes the best program that there is, elsewhere any; the share is the one that gives
the effect asked for on average. The test is the one that the report makes (``stats.randomisation``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, nan, sqrt
from typing import NamedTuple

import numpy

from pytest_kernelbench.report.analyses.base import SampleGroup
from pytest_kernelbench.report.analyses.estimates import places_by_task
from pytest_kernelbench.report.analyses.units import UnitSamples
from pytest_kernelbench.report.stats import Power, TaskPrograms, largest_effect, null_distribution, power_at
from pytest_kernelbench.strategy.primary import Primary

Study = list[TaskPrograms]
MakeStudy = Callable[[numpy.random.Generator], Study]

STUDIES = 40
ORDERS = 1000  # random orders for each study; their sampling error is smaller than the spread between studies
CONCENTRATION = 1.5  # of the beta distribution of a task's share of fast programs: some tasks have none, some only such
SPREAD = 1.5  # standard deviation of programs' log-probabilities, nats: a few are drawn often and many once


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """A task has ``programs`` correct programs, of which tasks have the share ``fast`` on average, at ``speedup``.

    Of K answers the share ``correct`` are correct ones.
    """

    programs: int = 12
    fast: float = 0.3
    speedup: float = 2.0
    correct: float = 0.6


class Planned(NamedTuple):
    """Mean over simulated studies, with its standard error; ``possible``: the largest effect that they could show."""

    power: float
    error: float
    size: float
    possible: float


def assumed(assumptions: Assumptions, primary: Primary, *, tasks: int, k: int, seeds: int) -> MakeStudy:
    """Studies of tasks such as are assumed."""

    def study(rng: numpy.random.Generator) -> Study:
        return [_assumed_task(rng, assumptions, primary, k, seeds) for _ in range(tasks)]

    return study


def _assumed_task(
    rng: numpy.random.Generator, assumed: Assumptions, primary: Primary, k: int, seeds: int
) -> TaskPrograms:
    share = rng.beta(CONCENTRATION * assumed.fast, CONCENTRATION * (1 - assumed.fast))
    fast_P = rng.random(assumed.programs) < share
    log_P = numpy.where(fast_P, log(assumed.speedup) * rng.uniform(0.5, 1.5, assumed.programs), rng.normal(-0.05, 0.03))
    log_P = log_P + rng.normal(0, 0.004, assumed.programs)  # no two programs take the same time
    chance_P = numpy.exp(rng.normal(0, SPREAD, assumed.programs))
    speed_SP = numpy.full((seeds, assumed.programs), nan)
    for speed_P in speed_SP:
        drawn = rng.choice(assumed.programs, size=rng.binomial(k, assumed.correct), p=chance_P / chance_P.sum())
        speed_P[drawn] = numpy.exp(log_P[drawn])
    values = numpy.where(numpy.isnan(speed_SP), nan, fast_P) if primary.outcome == "success" else numpy.log(speed_SP)
    return TaskPrograms(value_SP=values.astype(float), speed_SP=speed_SP)


def recorded(group: SampleGroup, primary: Primary, *, tasks: int, k: int, seeds: int) -> MakeStudy:
    """Studies of tasks drawn with replacement from a run's, each with K of the answers that a seed of it has.

    Of a task with fewer seeds than are planned, a seed is drawn again: it then has other K of the same answers.
    """
    outcome = "verified" if primary.outcome == "success" else primary.outcome
    known = [unit for unit in group.units if unit.is_timed]
    places = list(places_by_task([unit.results.task for unit in known]).values())

    def study(rng: numpy.random.Generator) -> Study:
        chosen = [places[task] for task in rng.integers(len(places), size=tasks)]
        return [_recorded_task(rng, [known[place] for place in each], outcome, k, seeds) for each in chosen]

    return study


def _recorded_task(
    rng: numpy.random.Generator, units: Sequence[UnitSamples], outcome: str, k: int, seeds: int
) -> TaskPrograms:
    rows = []
    names: dict[object, int] = {}
    for seed in range(seeds):
        unit = units[seed % len(units)]
        drawn = set(rng.permutation(unit.n)[:k].tolist())
        programs = unit.programs
        for place, source in enumerate(programs.source_C):
            answers = [at for at, each in enumerate(unit.source_N) if each == source and at in drawn]
            if answers:
                name = source if source is not None else (seed, place)
                speed = float(programs.speedup_C[place])
                value = log(speed) if outcome == "log_speedup" else float(programs.fast_C[outcome][place])
                rows.append((seed, names.setdefault(name, len(names)), value, speed))
    value_SP, speed_SP = (numpy.full((seeds, max(1, len(names))), nan) for _ in range(2))
    for seed, column, value, speed in rows:
        value_SP[seed, column], speed_SP[seed, column] = value, speed
    return TaskPrograms(value_SP=value_SP, speed_SP=speed_SP)


def planned(make: MakeStudy, primary: Primary, effect: float, *, seed: int, studies: int = STUDIES) -> Planned:
    """Power at ``effect``: a difference of rates, or of mean log speed-ups."""
    rng = numpy.random.default_rng(seed)
    found: list[Power] = []
    useless: list[Power] = []
    possible = []
    for number in range(studies):
        study = make(rng)
        null = null_distribution(study, primary.top, seed=seed + number, draws=2 * ORDERS)
        most = largest_effect(study, null)
        share = min(1.0, effect / most) if most > 0 else 1.0
        for of, powers in ((share, found), (0.0, useless)):
            powers.append(power_at(study, primary.top, of, seed=seed + number, null=null, draws=ORDERS))
        possible.append(most)
    powers = numpy.array([each.power for each in found])
    return Planned(
        power=float(powers.mean()),
        error=float(powers.std(ddof=1) / sqrt(len(powers))) if len(powers) > 1 else 0.0,
        size=float(numpy.mean([each.power for each in useless])),
        possible=float(numpy.mean(possible)),
    )


def least_tasks(power_of: Callable[[int], float], *, least: int = 2, most: int = 320, power: float = 0.8) -> int | None:
    """The fewest tasks with so much power, to a twentieth; None where not even ``most`` have it."""
    high = least
    while power_of(high) < power:
        if high >= most:
            return None
        least, high = high, min(most, max(high + 1, 2 * high))
    while high - least > max(1, high // 20):
        middle = (least + high) // 2
        least, high = (least, middle) if power_of(middle) >= power else (middle, high)
    return high
