"""What the judge's procedure promises, by simulation: the very code that decides, driven by made-up processes.

    python benchmarks/attestation_simulated.py                    20,000 identical kernels of each kind: some minutes
    python benchmarks/attestation_simulated.py --kernels 2000     a quick look
    python benchmarks/attestation_simulated.py --kind drift       one kind of noise, repeatable

Printed for each kind of noise: how many identical kernels counted as fast although the worker's own timing claimed a
speed-up (a forged proposal: every claim is measured), the share of kernels that are 3 % faster and count, and how often
the interval covered the truth.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pytest_kernelbench.evaluation.clock import attestation
from pytest_kernelbench.evaluation.clock.attestation import Plan, Verdict, measure
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.report.stats.intervals import clopper_pearson

TRUTHS = (0.8, 0.97, 1.0, 1.01, 1.02, 1.03, 1.05, 1.25, 2.0)


@dataclass(frozen=True, slots=True)
class Noise:
    """What a made-up machine does to a turn; shares of its duration, but ``jitter_s``.

    ``independent``: standard deviation of each turn. ``correlated``: the same, of a process with ``memory`` from one
    turn to the next. ``bursts``: how often another program's burst begins; one lasts for 20 turns, each 30 % longer.
    ``drift``: how much slower the machine becomes within 100 turns. ``between``: standard deviation of the ratio of
    the same kernel in two processes to that in two others; ``assumed``: what the procedure assumes of it, where that is
    more than for other kinds. ``jitter_s``: mean of what the scheduler adds to a turn. ``late``: the share of turns
    that end 2 to 5 ms late. ``changes``: the share of turns before which the core goes from full speed to two thirds of
    it, or back.
    """

    independent: float = 0.004
    correlated: float = 0.0
    memory: float = 0.9
    bursts: float = 0.0
    drift: float = 0.0
    between: float = 0.01
    assumed: float = 0.0
    jitter_s: float = 20e-6
    late: float = 0.0
    changes: float = 0.0


KINDS = {
    "independent noise": Noise(),
    "much independent noise": Noise(independent=0.05),
    "autocorrelated noise": Noise(correlated=0.02),
    "bursts": Noise(bursts=0.01),
    "drift": Noise(drift=0.2),
    "all of them": Noise(independent=0.01, correlated=0.02, bursts=0.01, drift=0.1),
    "late answers, as on a host of H200s": Noise(jitter_s=100e-6, late=0.05),
    "launches of short calls": Noise(independent=0.1, between=0.0141, assumed=0.0141),
    "cores that change their speed": Noise(jitter_s=100e-6, late=0.1, changes=0.2, between=0.0141, assumed=0.0141),
    "no difference between processes": Noise(between=0.0),
}


class MadeUpMachine:
    """Turns of kernels whose control takes ``call_s``; the candidate is ``truth`` times as fast."""

    def __init__(self, noise: Noise, *, truth: float, call_s: float, generator: random.Random) -> None:
        self._noise, self._truth, self._random = noise, truth, generator
        self._calls = max(1, min(256, round(traits_of("cuda").seconds_per_turn / call_s)))
        self._call_s = call_s
        self._number = self._burst_until = 0
        self._level = 0.0
        self._is_slow = False

    @contextmanager
    def processes(self, number: int) -> Iterator[MadeUpMachine]:
        sd = self._noise.between / math.sqrt(2)
        self._of_process = {side: self._random.gauss(0.0, sd) for side in ("candidate", "control")}
        yield self

    def turn(self, side: str) -> float:
        call_s = self._call_s / (self._truth if side == "candidate" else 1.0)
        calls_s = self._calls * call_s * math.exp(self._of_process[side])
        return self._lengthened(calls_s)

    def empty_turn(self) -> float:
        return self._lengthened(0.0)

    def _lengthened(self, seconds: float) -> float:
        noise, draw = self._noise, self._random
        self._number += 1
        self._level = noise.memory * self._level + draw.gauss(0, noise.correlated * math.sqrt(1 - noise.memory**2))
        if noise.bursts and draw.random() < noise.bursts:
            self._burst_until = self._number + 20
        log = self._level + draw.gauss(0, noise.independent) + noise.drift * self._number / 100
        if noise.changes and draw.random() < noise.changes:
            self._is_slow = not self._is_slow
        slower = math.exp(log) * (1.3 if self._number < self._burst_until else 1.0) * (1.5 if self._is_slow else 1.0)
        late_s = draw.uniform(2e-3, 5e-3) if noise.late and draw.random() < noise.late else 0.0
        return 150e-6 + seconds * slower + draw.expovariate(1 / noise.jitter_s) + late_s


def judged(noise: Noise, plan: Plan, *, truth: float, call_s: float, generator: random.Random) -> Verdict:
    """The verdict on one made-up kernel."""
    machine = MadeUpMachine(noise, truth=truth, call_s=call_s, generator=generator)
    return measure(machine.processes, plan)


def shares(noise: Noise, plan: Plan, kernels: int, *, truth: float, call_s: float | None, seed: int) -> tuple[int, int]:
    """Of so many kernels, how many counted and how many intervals covered the truth; ``call_s`` None: 5 us to 50 ms."""
    generator = random.Random(seed)
    counted = covered = 0
    for _ in range(kernels):
        duration = call_s or 10 ** generator.uniform(math.log10(5e-6), math.log10(50e-3))
        verdict = judged(noise, plan, truth=truth, call_s=duration, generator=generator)
        counted += verdict.counted is True
        covered += verdict.estimate.low <= truth <= verdict.estimate.high
    return counted, covered


def draw_turns_by(seed: int) -> None:
    """Have the order of turns drawn by ``seed``, for each kind of noise anew: a kind alone gives its row among all.

    The judge's own order is the operating system's, which no seed repeats.
    """
    attestation._random = random.Random(seed)  # type: ignore[assignment]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=int, default=20_000, help="identical kernels of each kind")
    parser.add_argument("--margin", type=float, default=0.01)
    parser.add_argument("--between", type=float, default=0.01, help="what the procedure assumes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="repeatable; default: all")
    arguments = parser.parse_args()
    few = max(200, arguments.kernels // 20)
    print(f"margin {arguments.margin:.0%}, assumed between processes {arguments.between:.1%}")
    print(f"{'kind':34s} {'identical, fast':>18s} {'upper 95 %':>11s} {'3 % of 1 ms':>12s} {'least coverage':>15s}")
    for name in arguments.kind or KINDS:
        noise, started = KINDS[name], time.perf_counter()
        plan = Plan(margin=arguments.margin, between=max(arguments.between, noise.assumed), gives_up=True)
        draw_turns_by(arguments.seed)
        fast, _ = shares(noise, plan, arguments.kernels, truth=1.0, call_s=None, seed=arguments.seed)
        bounds = clopper_pearson(fast, arguments.kernels)
        assert bounds is not None
        upper = bounds.high
        power, _ = shares(noise, plan, few, truth=1.03, call_s=1e-3, seed=arguments.seed + 1)
        covered = {
            truth: shares(noise, plan, few, truth=truth, call_s=None, seed=arguments.seed + 2)[1] / few
            for truth in TRUTHS
        }
        worst = min(covered, key=lambda truth: covered[truth])
        print(
            f"{name:34s} {fast:>8d} of {arguments.kernels:<6d} {upper:>11.3%} {power / few:>12.1%} "
            f"{covered[worst]:>7.1%} at {worst:<4} ({time.perf_counter() - started:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
