"""How often intervals over tasks hold what they say they hold, beside a plain percentile bootstrap over tasks.

    python benchmarks/intervals.py [--studies 2000]

Made-up studies: tasks whose own rates of fast samples are drawn from a beta distribution, and what a report makes of
them: a rate over 64 samples, any of 8, three seeds of a choice; log speed-ups; differences of two choices.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy
from numpy.typing import NDArray

from pytest_kernelbench.stats import clustered_band, clustered_rate_band

Floats = NDArray[numpy.float64]
Draw = Callable[[numpy.random.Generator, int], Floats]

DIFFICULTIES = {"half, to the ends": (0.5, 0.5), "a fifth, uneven": (0.3, 1.2), "a twentieth, in few": (0.1, 2.0)}
TASKS = (5, 10, 20)
LARGE = 400_000


def rates(shape: tuple[float, float]) -> dict[str, Draw]:
    return {
        "rate of 64": lambda rng, n: rng.binomial(64, rng.beta(*shape, n)) / 64,
        "any of 8": lambda rng, n: 1 - (1 - rng.beta(*shape, n)) ** 8,
        "3 seeds": lambda rng, n: rng.binomial(3, rng.beta(*shape, n)) / 3,
    }


VALUES: dict[str, Draw] = {
    "log speed-ups, even": lambda rng, n: rng.normal(0.1, 0.4, n),
    "log speed-ups, 4 in 10 above 0": lambda rng, n: numpy.where(rng.random(n) < 0.4, rng.exponential(0.6, n), 0.0),
    "differences, 3 won and 1 lost in 10": lambda rng, n: rng.choice([-1.0, 0.0, 1.0], n, p=[0.1, 0.6, 0.3]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    studies = parser.parse_args().studies
    print(f"share of {studies} studies whose 95 % interval holds the truth, in %: plain bootstrap / as reported")
    print(f"{'':42}" + "".join(f"{tasks:5} tasks" for tasks in TASKS))
    for difficulty, shape in DIFFICULTIES.items():
        for name, draw in rates(shape).items():
            show(f"{name}, {difficulty}", draw, studies, rate=True)
    for name, draw in VALUES.items():
        show(name, draw, studies, rate=False)


def show(name: str, draw: Draw, studies: int, *, rate: bool) -> None:
    rng = numpy.random.default_rng(0)
    truth = float(draw(rng, LARGE).mean())
    cells = []
    for tasks in TASKS:
        values_TX = draw(rng, tasks * studies).reshape(tasks, studies)  # X: the studies
        reported = clustered_rate_band(values_TX) if rate else clustered_band(values_TX, seed=1)
        covered = (held(each, truth) for each in (plain_bootstrap(values_TX), reported))
        cells.append(" / ".join(f"{100 * share:3.0f}" for share in covered))
    print(f"{name:42}" + "".join(f"{cell:>11}" for cell in cells), flush=True)


def plain_bootstrap(values_TX: Floats, resamples: int = 2000) -> tuple[Floats, Floats]:
    tasks = len(values_TX)
    drawn_RT = numpy.random.default_rng(1).integers(tasks, size=(resamples, tasks))
    weights_RT = numpy.stack([numpy.bincount(row, minlength=tasks) for row in drawn_RT]) / tasks
    low_X, high_X = numpy.quantile(weights_RT @ values_TX, [0.025, 0.975], axis=0)
    return low_X, high_X


def held(band: tuple[Floats, Floats], truth: float) -> float:
    """An interval that is not given holds everything: it claims nothing."""
    low_X, high_X = band
    return float((numpy.isnan(low_X) | ((low_X <= truth) & (truth <= high_X))).mean())


if __name__ == "__main__":
    main()
