"""How often intervals over tasks hold what they say they hold.

    python benchmarks/intervals.py [--studies 2000]

Made-up studies of 5 to 40 tasks, and what a report makes of them: rates over samples, any of 8, seeds and single votes;
rates of answers that tasks have unequal numbers of, as a quartile of surprisal has; means of log speed-ups and of
speed-ups, even, skewed, and carried by few; differences of two choices, and correlations within tasks; medians; the K
that a choice or a step of adaptation is worth, read off 64 candidates; and for these very tasks the spread between
seeds. A cell is the share of studies whose interval holds the truth, and in brackets, where a report may say in words
that the interval cannot be relied on, the share of studies in which it says so: ``no`` interval is given in so many of
them because one or two tasks carry the mean, ``few`` says that a line about so few tasks stands beside it (in all
studies of fewer than 29 tasks).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy
from numpy.typing import NDArray

from pytest_kernelbench.report.stats import (
    FEW,
    carried_by,
    clustered_rate,
    clustered_rate_band,
    equivalent_k_interval,
    fixed_task_interval,
    mean_band,
    median_interval,
)

Floats = NDArray[numpy.float64]
Draw = Callable[[numpy.random.Generator, int], Floats]
Cell = tuple[float, float]  # share of studies that hold the truth, share of those that give no interval

DIFFICULTIES = {"half, to the ends": (0.5, 0.5), "a fifth, uneven": (0.3, 1.2), "a twentieth, in few": (0.1, 2.0)}
TASKS = (5, 10, 20, 40)
LARGE = 400_000


def rates(shape: tuple[float, float]) -> dict[str, Draw]:
    return {
        "rate of 64": lambda rng, n: rng.binomial(64, rng.beta(*shape, n)) / 64,
        "any of 8": lambda rng, n: 1 - (1 - rng.beta(*shape, n)) ** 8,
        "3 seeds": lambda rng, n: rng.binomial(3, rng.beta(*shape, n)) / 3,
        "1 vote": lambda rng, n: rng.binomial(1, rng.beta(*shape, n)).astype(float),
    }


def few_times(share: float, times: float) -> Draw:
    """Kernels as fast as the reference to 1 %, but for a share of tasks whose kernel is so many times as fast."""
    return lambda rng, n: numpy.where(rng.random(n) < share, numpy.log(times), rng.normal(0, 0.01, n))


LOGS: dict[str, Draw] = {
    "log speed-ups, even": lambda rng, n: rng.normal(0.1, 0.4, n),
    "log speed-ups, 4 in 10 above 0": lambda rng, n: numpy.where(rng.random(n) < 0.4, rng.exponential(0.6, n), 0.0),
    "log speed-ups, 2 in 10 at 3x": few_times(0.2, 3),
    "log speed-ups, 1 in 10 at 3x": few_times(0.1, 3),
    "log speed-ups, 1 in 10 at 12x": few_times(0.1, 12),
    "log speed-ups, heavy on both sides": lambda rng, n: 0.3 * rng.standard_t(2.5, n),
}
SPEEDUPS: dict[str, Draw] = {
    "speed-ups, half to 8x": lambda rng, n: numpy.exp(rng.normal(0.3, 0.7, n)),
    "speed-ups, 1 in 10 at 12x": lambda rng, n: numpy.exp(few_times(0.1, 12)(rng, n)),
}
DIFFERENCES: dict[str, Draw] = {
    "differences, 3 won and 1 lost in 10": lambda rng, n: rng.choice([-1.0, 0.0, 1.0], n, p=[0.1, 0.6, 0.3]),
    "differences, 1 won in 10": lambda rng, n: (rng.random(n) < 0.1).astype(float),
    "differences, 3 won in 100": lambda rng, n: (rng.random(n) < 0.03).astype(float),
    "differences to an exact control": lambda rng, n: (rng.random(n) < (p := rng.beta(0.8, 0.8, n))) - p,
    "correlations within tasks, of 4 programs": lambda rng, n: of_orders(rng.normal(0.5, 1.0, (n, 4))),
}


def of_orders(gains: Floats) -> Floats:
    """Rank correlation, of each row, of the place in it and place plus so much noise."""
    programs = gains.shape[1]
    ranks = numpy.argsort(numpy.argsort(gains + 0.5 * numpy.arange(programs), axis=1), axis=1)
    squares = ((ranks - numpy.arange(programs)) ** 2).sum(axis=1)
    return 1 - 6 * squares / (programs * (programs**2 - 1))


# What is worth some K, in studies whose tasks have these rates: a choice or a step succeeds on a task or does not.
WORTH: dict[str, Callable[[Floats], Floats]] = {
    "a vote as good as 1 answer": lambda rate_T: rate_T,
    "a vote as good as 4 answers": lambda rate_T: 1 - (1 - rate_T) ** 4,
    "a vote, better on easy tasks": lambda rate_T: 1 - (1 - rate_T**1.5) ** 8,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    studies = parser.parse_args().studies
    print(f"share of {studies} studies whose 95 % interval holds the truth, in %")
    print(f"{'':42}" + "".join(f"{tasks:9} tasks" for tasks in TASKS))
    worst: list[tuple[float, str]] = []

    def show(name: str, cell: Callable[[int], Cell], *, warned: bool = False, values: int = 1) -> None:
        shown = []
        for tasks in TASKS:
            holds, silent = cell(tasks)
            few = " few" if warned and tasks * values < FEW else ""
            shown.append(f"{100 * holds:.0f}" + (f" ({100 * silent:.0f} no{few})" if warned else ""))
            if not few:
                worst.append((holds, f"{name}, {tasks} tasks"))
        print(f"{name:42}" + "".join(f"{each:>15}" for each in shown), flush=True)

    for difficulty, shape in DIFFICULTIES.items():
        for name, draw in rates(shape).items():
            show(f"{name}, {difficulty}", partial(of_rates, draw, studies=studies))
        show(f"answers, 1 to 30 a task, {difficulty}", partial(of_pooled, shape, studies=studies))
    show("1 vote, 3 in 100", partial(of_rates, rare(1, 0.03), studies=studies))
    show("3 timings of the reference, 1 in 100 fast", partial(of_rates, rare(3, 0.01), studies=studies))
    for name, draw in {**LOGS, **SPEEDUPS}.items():
        show(f"mean of {name}", partial(of_means, draw, studies=studies), warned=True)
        show(f"median of {name}", partial(of_medians, draw, studies=studies))
    for name, draw in DIFFERENCES.items():
        show(name, partial(of_means, draw, studies=studies, logs=False))
    for difficulty, shape in DIFFICULTIES.items():
        for name, success in WORTH.items():
            show(f"{name}, {difficulty}", partial(of_equivalents, success, shape, studies=studies // 4))
    for name, samples in (("3 seeds of a rate", 32), ("3 seeds of a vote", 1)):
        show(f"these very tasks, {name}", partial(of_fixed, samples, studies=studies))
    of_logs = partial(of_fixed_logs, studies=studies)
    show("these very tasks, 3 seeds of a log speed-up", of_logs, warned=True, values=3)
    holds, where = min(worst)
    print(f"\nthe least of those without a warning: {100 * holds:.0f} %, {where}")


def rare(trials: int, rate: float) -> Draw:
    return lambda rng, n: rng.binomial(trials, rate, n) / trials


def of_pooled(shape: tuple[float, float], tasks: int, *, studies: int) -> Cell:
    """Each answer counts once, whichever task it is of; of a task that is often solved there are more."""
    rng = numpy.random.default_rng(0)

    def drawn(n: int) -> tuple[Floats, Floats]:
        rate = rng.beta(*shape, n)
        trials = 1 + rng.binomial(29, 0.2 + 0.6 * rate)
        return rng.binomial(trials, rate).astype(float), trials.astype(float)

    good, trials = drawn(LARGE)
    truth = float(good.sum() / trials.sum())
    good_TX, trials_TX = (each.reshape(tasks, studies) for each in drawn(tasks * studies))
    ends = [clustered_rate(*both) or (numpy.nan, numpy.nan) for both in zip(good_TX.T, trials_TX.T, strict=True)]
    low_X, high_X = numpy.array(ends).T
    return held(low_X, high_X, truth), float(numpy.isnan(low_X).mean())


def of_rates(draw: Draw, tasks: int, *, studies: int) -> Cell:
    rng = numpy.random.default_rng(0)
    truth = float(draw(rng, LARGE).mean())
    low_X, high_X = clustered_rate_band(draw(rng, tasks * studies).reshape(tasks, studies))
    return held(low_X, high_X, truth), float(numpy.isnan(low_X).mean())


def of_means(draw: Draw, tasks: int, *, studies: int, logs: bool = True) -> Cell:
    """An interval that is not given holds everything: it claims nothing."""
    rng = numpy.random.default_rng(0)
    truth = float(draw(rng, LARGE).mean())
    values_TX = draw(rng, tasks * studies).reshape(tasks, studies)  # X: the studies
    low_X, high_X = mean_band(values_TX)
    if logs:
        carried_X = numpy.array([bool(carried_by(values_T)) for values_T in values_TX.T])
        low_X, high_X = (numpy.where(carried_X, numpy.nan, end_X) for end_X in (low_X, high_X))
    return held(low_X, high_X, truth), float(numpy.isnan(low_X).mean())


def of_medians(draw: Draw, tasks: int, *, studies: int) -> Cell:
    rng = numpy.random.default_rng(0)
    truth = float(numpy.median(draw(rng, LARGE)))
    found = [median_interval(values_T.tolist()) for values_T in draw(rng, tasks * studies).reshape(studies, tasks)]
    holds = [each is None or each.low <= truth <= each.high for each in found]
    return float(numpy.mean(holds)), float(numpy.mean([each is None for each in found]))


def of_equivalents(
    success: Callable[[Floats], Floats], shape: tuple[float, float], tasks: int, *, studies: int
) -> Cell:
    """The K that a success is worth, read off 64 candidates of each task."""
    rng = numpy.random.default_rng(0)
    every_rate = rng.beta(*shape, LARGE)
    score, low, high = float(success(every_rate).mean()), 0.0, 64.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if float((1 - (1 - every_rate) ** middle).mean()) >= score else (middle, high)
    found = []
    for _ in range(studies):
        rate_T = rng.beta(*shape, tasks)
        counts = [[(64, int(good))] for good in rng.binomial(64, rate_T)]
        found.append(equivalent_k_interval(counts, (rng.random(tasks) < success(rate_T)).astype(float).tolist()))
    holds = [each is None or each.low <= high <= each.high for each in found]
    return float(numpy.mean(holds)), float(numpy.mean([each is None for each in found]))


def of_fixed(samples: int, tasks: int, *, studies: int) -> Cell:
    """Tasks that stay, each with its rate; each of three seeds gives the rate of so many samples."""

    def study(rng: numpy.random.Generator) -> tuple[float, Floats]:
        rate_T = rng.beta(0.8, 0.8, tasks)
        return float(rate_T.mean()), rng.binomial(samples, rate_T, (3, tasks)).T / samples

    return of_seeds(study, studies)


def of_fixed_logs(tasks: int, *, studies: int) -> Cell:
    """Tasks that stay; each of three seeds chooses a kernel that is 3x, with the task's chance of it, or as fast."""

    def study(rng: numpy.random.Generator) -> tuple[float, Floats]:
        chance_T = rng.beta(0.8, 0.8, tasks)
        chosen_ST = numpy.where(rng.random((3, tasks)) < chance_T, numpy.log(3), 0.0)
        return float(chance_T.mean() * numpy.log(3)), (chosen_ST + rng.normal(0, 0.01, (3, tasks))).T

    return of_seeds(study, studies)


def of_seeds(study: Callable[[numpy.random.Generator], tuple[float, Floats]], studies: int) -> Cell:
    """``study`` gives the truth for its tasks, and (tasks, seeds) values."""
    rng = numpy.random.default_rng(0)
    holds, silent = [], []
    for _ in range(studies):
        truth, values_TS = study(rng)
        found = fixed_task_interval(values_TS.tolist())
        holds.append(found is None or found.low <= truth <= found.high)
        silent.append(found is None)
    return float(numpy.mean(holds)), float(numpy.mean(silent))


def held(low_X: Floats, high_X: Floats, truth: float) -> float:
    return float((numpy.isnan(low_X) | ((low_X - 1e-12 <= truth) & (truth <= high_X + 1e-12))).mean())


if __name__ == "__main__":
    main()
