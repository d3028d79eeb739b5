"""How often each test rejects a score that says nothing, and one that is right in some tasks.

    python benchmarks/tests_of_scores.py [--studies 200]

Made-up studies of one seed. First: answers repeat as their probabilities say and one program has one score, while
quality has nothing to do with probability; surprisal-top3 against random-top3 in success, with draws for the unit (as
the paper has it; an exact Poisson-binomial sum) and with programs (the randomisation test). Then: one kernel in ten at
3x, the rest within 2 % of the reference; a score's choice against an exact random control, by Wilcoxon's signed ranks
and by the randomisation test of the mean log speed-up, the score being right in none, some and all of the tasks.
"""

from __future__ import annotations

import argparse

import numpy
from numpy.typing import NDArray

from pytest_kernelbench.report.stats import (
    TaskPrograms,
    first_of_subset_weights,
    null_distribution,
    randomisation_test,
    signed_rank,
)

Floats = NDArray[numpy.float64]
LEVEL = 0.05
TOP = 3
K = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200)
    studies = parser.parse_args().studies
    print(f"share of {studies} studies in which a useless score is rejected at 5 %: draws / programs")
    for programs, tasks in ((3, 50), (6, 20), (6, 50), (12, 20)):
        rng = numpy.random.default_rng(programs * tasks)
        shares = numpy.mean([of_units(rng, programs, tasks) for _ in range(studies)], axis=0)
        print(f"{programs:2} programs, {tasks} tasks: {shares[0]:.0%} / {shares[1]:.0%}", flush=True)
    print("against an exact control, 1 program in 10 at 3x: Wilcoxon / randomisation")
    for right in (0.0, 0.3, 1.0):
        for tasks in (5, 10, 20, 50):
            rng = numpy.random.default_rng(tasks)
            shares = numpy.mean([of_skewed(rng, tasks, right) for _ in range(studies)], axis=0)
            print(f"right in {right:.0%} of tasks, {tasks:2} tasks: {shares[0]:.0%} / {shares[1]:.0%}", flush=True)


def of_units(rng: numpy.random.Generator, programs: int, tasks: int) -> tuple[bool, bool]:
    """Whether surprisal-top3 is rejected with draws and with programs for the unit."""
    rates, taken, parts, statistic = [], [], [], []
    for _ in range(tasks):
        score_P = rng.normal(-2, 1.5, programs)
        fast_P = rng.random(programs) < 0.3
        chance_P = numpy.exp(score_P)
        drawn_N = rng.choice(programs, K, p=chance_P / chance_P.sum())
        there = numpy.unique(drawn_N)
        surprising_first = drawn_N[numpy.argsort(score_P[drawn_N], kind="stable")]
        taken.append(bool(fast_P[surprising_first[:TOP]].any()))
        weights = first_of_subset_weights(K)[:, TOP - 1]
        rates.append(float(weights @ numpy.sort(fast_P[drawn_N].astype(float))[::-1]))
        speed_SP = numpy.where(fast_P, 2.0, 0.5)[None, there] + rng.normal(0, 0.01, len(there))
        parts.append(TaskPrograms(value_SP=fast_P[None, there].astype(float), speed_SP=speed_SP))
        statistic.append(float(fast_P[there[numpy.argsort(score_P[there])][:TOP]].any()))
    chances = numpy.ones(1)
    for rate in rates:
        chances = numpy.convolve(chances, [1 - rate, rate])
    observed = sum(taken)
    p_draws = 2 * min(chances[: observed + 1].sum(), chances[observed:].sum())
    null = null_distribution(parts, TOP, seed=0)
    p_programs = randomisation_test(float(numpy.mean(statistic)), null).p_two_sided
    return bool(p_draws <= LEVEL), bool(p_programs <= LEVEL)


def of_skewed(rng: numpy.random.Generator, tasks: int, right: float, programs: int = 12) -> tuple[bool, bool]:
    """Whether the choices are rejected by Wilcoxon's test and by the randomisation test."""
    speed_TP = numpy.where(rng.random((tasks, programs)) < 0.1, 3.0, rng.uniform(0.98, 1.0, (tasks, programs))).round(3)
    speed_TP += rng.normal(0, 1e-4, speed_TP.shape)
    by_chance_T = rng.integers(programs, size=tasks)
    first_T = numpy.where(rng.random(tasks) < right, speed_TP.argmax(axis=1), by_chance_T)
    logs_TP = numpy.log(speed_TP)
    chosen_T = logs_TP[numpy.arange(tasks), first_T]
    ranked = signed_rank((chosen_T - logs_TP.mean(axis=1)).tolist())
    parts = [TaskPrograms(value_SP=numpy.log(speed_P)[None], speed_SP=speed_P[None]) for speed_P in speed_TP]
    test = randomisation_test(float(chosen_T.mean()), null_distribution(parts, 1, seed=0, draws=4000))
    return ranked is not None and ranked.p <= LEVEL, test.p_two_sided <= LEVEL


if __name__ == "__main__":
    main()
