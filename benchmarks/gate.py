"""How often the gate on regressions is mistaken, and how often it sees a regression of 5 %.

    python benchmarks/gate.py --runs 100 --device cuda

The kernel takes about a millisecond, and what it does is known: so many rounds over its input. It is compared with
itself (another text, the same work) and with one that does ``--slowdown`` more, at the limit of ``--limit``, as
``--benchmark-compare-fail=median:2%`` does. Each run is one comparison of ``Evaluator.compare``, in two processes
where the first sees a regression. Intervals are Wilson's at 95 %.
"""

from __future__ import annotations

import argparse
import time

from pytest_kernelbench import Evaluator
from pytest_kernelbench.records import Task
from pytest_kernelbench.stats import wilson

TASK = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)

n = {elements}

def get_inputs():
    return [torch.rand(n)]

def get_init_inputs():
    return []
"""
# One round is one pass over the elements; the answer is the reference's whatever the number of rounds.
KERNEL = """
import torch

class ModelNew(torch.nn.Module):  # {note}
    def forward(self, x):
        for _ in range({rounds}):
            y = torch.clamp(x, min=0)
        return y
"""
# On a CPU so few elements that torch uses one thread, whose time does not depend on a neighbour's; on a GPU enough
# for a pass to take longer than its launch.
ELEMENTS = {"cpu": 16_000, "cuda": 16_000_000}
WANTED_MS = 1.0


def kernel(rounds: int, note: str) -> str:
    return KERNEL.format(rounds=rounds, note=note)


def rounds_for(evaluator: Evaluator, task: Task) -> int:
    """Rounds that take a millisecond, a multiple of 20: so that 5 % more is a whole number."""
    (first,) = evaluator.evaluate(task, [kernel(20, "to find out how long a round takes")])
    if first.candidate_ms is None:
        raise SystemExit(f"the kernel is {first.outcome.value}: {first.detail}")
    return max(20, round(WANTED_MS / (first.candidate_ms / 20) / 20) * 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--slowdown", type=float, default=0.05)
    parser.add_argument("--limit", type=float, default=0.02)
    options = parser.parse_args()
    task = Task(id="level1/1_Relu", source=TASK.format(elements=ELEMENTS[options.device]))
    with Evaluator(device=options.device, protocol="fast") as evaluator:
        rounds = rounds_for(evaluator, task)
        baseline = kernel(rounds, "baseline")
        slowed = round(rounds * (1 + options.slowdown))
        print(
            f"{evaluator.describe()['hardware']['name']}: {rounds} rounds, slowed {slowed}, limit {options.limit:.0%}"
        )
        for name, current in (("the same work", rounds), (f"{slowed / rounds - 1:.1%} more work", slowed)):
            started, found = time.perf_counter(), []
            for number in range(options.runs):
                source = kernel(current, f"run {number}")
                found.append(evaluator.compare(task, source, baseline, max_slowdown=1 + options.limit))
            said = [each for each in found if each.slowdown is not None]
            slower = sum(each.slower for each in said)
            interval = wilson(slower, len(said))
            seconds = (time.perf_counter() - started) / options.runs
            print(
                f"{name}: called slower in {slower} of {len(said)} [{interval.low:.1%}, {interval.high:.1%}], "
                f"{sum(each.pairs for each in said) / len(said):.0f} pairs and {seconds:.1f} s a comparison, "
                f"baseline {said[0].baseline_ms:.3g} ms"
            )
            for each in found:
                if each.slowdown is None:
                    print(f"not compared: {each.detail}")


if __name__ == "__main__":
    main()
