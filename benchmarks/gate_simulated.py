"""How often a gate on several sizes errs, by simulation: the very code that decides, driven by made-up processes.

    python benchmarks/gate_simulated.py                     2,000 gates of each kind: some minutes
    python benchmarks/gate_simulated.py --gates 200         a quick look
    python benchmarks/gate_simulated.py --device cpu        what processes differ by there: 2 % and not 1 %
    python benchmarks/gate_simulated.py --series            series are made up, not their turns: many more gates

A gate is one kernel at ``--sizes`` sizes, of 0.2 to 5 ms a call, at a limit of ``--limit``. Printed for each kind of
noise: how many gates called any size slower, where the kernel is the same at all sizes, and where it is exactly as slow
as the limit allows at all of them; how many caught a kernel that is ``--slowdown`` slower at one size; which share of
the sizes at which it is the same were undecided; which share of the sizes at the limit, and of those that are slower,
were taken for the same; and how many pairs of processes were needed for the same and for the slower ones.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from attestation_simulated import KINDS, MadeUpMachine, Noise, draw_turns_by

from pytest_kernelbench.evaluation.clock.attestation import LOOKS, Verdict, decide, measure
from pytest_kernelbench.evaluation.clock.estimates import ERRORS_OF_A_LOOK, Series
from pytest_kernelbench.evaluation.clock.gates import Gate, plan_of_gate
from pytest_kernelbench.evaluation.device.traits import DEVICES, traits_of
from pytest_kernelbench.report.stats.intervals import clopper_pearson

CALL_S = (0.2e-3, 5e-3)
# Standard error of the centre of a made-up series, in parts of what processes differ by: a series ends when its
# interval at 99.9 % reaches as far.
NOISE_OF_SERIES = 1 / ERRORS_OF_A_LOOK


@dataclass(frozen=True, slots=True)
class Setting:
    """What is asked, and on what machine."""

    gate: Gate
    device: str
    noise: Noise


VerdictOf = Callable[[Setting, float, random.Random], Verdict]


def gate_verdict(setting: Setting, slowdown: float, generator: random.Random) -> Verdict:
    """The verdict at one size, of a kernel that takes ``slowdown`` times as long as its baseline."""
    call_s = generator.uniform(*CALL_S)
    plan = replace(plan_of_gate(setting.gate, setting.device, call_s * 1e3), seconds=None)
    machine = MadeUpMachine(setting.noise, truth=1 / slowdown, call_s=call_s, generator=generator)
    return measure(machine.processes, plan)


def verdict_of_series(setting: Setting, slowdown: float, generator: random.Random) -> Verdict:
    """The same from made-up series: their medians differ by ``between`` and by noise, which their intervals show."""
    plan = plan_of_gate(setting.gate, setting.device, 1e3 * sum(CALL_S) / 2)
    noise = NOISE_OF_SERIES * plan.between
    reach = noise * ERRORS_OF_A_LOOK
    done: list[Series] = []
    while True:
        middle = generator.gauss(-math.log(slowdown), math.hypot(setting.noise.between, noise))
        done.append(Series(LOOKS[0], middle, middle - reach, middle + reach))
        if len(done) in plan.looks and (verdict := decide(done, plan, 0.0)).answer is not None:
            return verdict


def gate_verdicts(
    setting: Setting, slowdowns: Sequence[float], generator: random.Random, verdict: VerdictOf = gate_verdict
) -> list[Verdict]:
    """The verdicts of one gate, by size."""
    return [verdict(setting, slowdown, generator) for slowdown in slowdowns]


def slower(verdicts: Sequence[Verdict]) -> bool:
    return any(each.answer == "below" for each in verdicts)


def upper(count: int, of: int) -> float:
    """Of a rate, the upper end of its exact 95 % interval."""
    bounds = clopper_pearson(count, of)
    assert bounds is not None
    return bounds.high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=2000, help="of each kind")
    parser.add_argument("--sizes", type=int, default=20)
    parser.add_argument("--limit", type=float, default=0.01)
    parser.add_argument("--slowdown", type=float, default=0.03)
    parser.add_argument("--device", choices=sorted(DEVICES), default="cuda")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--series", action="store_true", help="make up series, of independent noise, and not turns")
    parser.add_argument("--kind", action="append", choices=sorted(KINDS), help="repeatable; default: all")
    options = parser.parse_args()
    gate = Gate(max_slowdown=1 + options.limit, sizes=options.sizes)
    same, at_limit = [1.0] * options.sizes, [1 + options.limit] * options.sizes
    print(f"{options.device}, {options.sizes} sizes, limit {options.limit:.1%}, {options.gates} gates of each kind")
    print(
        f"{'kind':32s} {'same: slower':>18s} {'at the limit: slower':>22s} {'caught':>7s} "
        f"{'undecided':>10s} {'taken for the same':>20s} series"
    )
    for name in options.kind or KINDS:
        started = time.perf_counter()
        draw_turns_by(options.seed)
        noise = (
            replace(KINDS[name], between=traits_of(options.device).between_processes)
            if KINDS[name].between
            else KINDS[name]
        )
        setting, draw = Setting(gate, options.device, noise), random.Random(options.seed)
        verdict = verdict_of_series if options.series else gate_verdict
        of_same = [gate_verdicts(setting, same, draw, verdict) for _ in range(options.gates)]
        of_limit = [gate_verdicts(setting, at_limit, draw, verdict) for _ in range(options.gates)]
        of_slow = [verdict(setting, 1 + options.slowdown, draw) for _ in range(options.gates)]
        each_same, each_at_limit = ([each for verdicts in of for each in verdicts] for of in (of_same, of_limit))
        alarms, at_limits = sum(map(slower, of_same)), sum(map(slower, of_limit))
        print(
            f"{name:32s} {alarms:>4d} (< {upper(alarms, options.gates):.2%}) "
            f"{at_limits:>10d} (< {upper(at_limits, options.gates):.2%}) "
            f"{sum(slower([each]) for each in of_slow) / options.gates:>10.1%} "
            f"{fmean(each.answer == 'undecided' for each in each_same):>9.1%} "
            f"{fmean(each.answer == 'above' for each in each_at_limit):>11.2%} "
            f"{fmean(each.answer == 'above' for each in of_slow):>8.2%} "
            f"{fmean(each.series for each in each_same):>6.1f} {fmean(each.series for each in of_slow):>6.1f} "
            f"({time.perf_counter() - started:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
