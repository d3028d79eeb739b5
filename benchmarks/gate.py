"""How often the gate on regressions is mistaken, and how often it sees a regression of 5 %.

    python benchmarks/gate.py --runs 100
    python benchmarks/gate.py --runs 100 --device cuda --limit-s 220 --json gate.jsonl

The kernel takes about a millisecond, and what it does is known: so many rounds over its input. It is compared with
itself (another text, the same work) and with one that does ``--slowdown`` more, at the limit of ``--limit``, as
``--benchmark-compare-fail=median:2%`` does. Each run is one comparison of ``Evaluator.compare``, by the judge's clock;
the two kinds take turns, with one evaluator that stays warm. After ``--limit-s``
the figures hold for what was reached, and the same command with the same ``--json`` goes on from there.

One line a kind: how often it was called slower, with its exact interval at 95 %, how often it was undecided, its
median ratio, and what a comparison took.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from results import Limit, Results

from pytest_kernelbench import Evaluator
from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.records import Task
from pytest_kernelbench.report.stats import clopper_pearson

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
# A device that fails so often in a row is not going to answer.
MOST_FAULTS = 3


def kernel(rounds: int, note: str) -> str:
    return KERNEL.format(rounds=rounds, note=note)


def rounds_for(evaluator: Evaluator, task: Task) -> int:
    """Rounds that take a millisecond, a multiple of 20: so that 5 % more is a whole number."""
    (first,) = evaluator.evaluate(task, [kernel(20, "to find out how long a round takes")])
    if first.candidate_ms is None:
        raise SystemExit(f"the kernel is {first.outcome.value}: {first.detail}")
    return max(20, round(WANTED_MS / (first.candidate_ms / 20) / 20) * 20)


def line(kind: str, rows: Sequence[dict[str, Any]]) -> str:
    """One line of the table, and one for each reason not to compare."""
    said = [row for row in rows if row["slowdown"] is not None]
    slower = sum(row["verdict"] == "slower" for row in said)
    undecided = sum(row["verdict"] == "undecided" for row in said)
    interval = clopper_pearson(slower, len(said))
    why_not = {f"    not compared: {row['detail']}" for row in rows if row["slowdown"] is None}
    if interval is None:
        return "\n".join([f"{kind:16} not reached", *sorted(why_not)])
    ratios = [row["slowdown"] for row in said]
    text = (
        f"{kind:16} {slower:3} of {len(said):3} [{interval.low:6.1%}, {interval.high:6.1%}]  {undecided:9}  "
        f"{median(ratios):.4f} ({min(ratios):.4f} to {max(ratios):.4f})  {mean(row['series'] for row in said):6.1f}  "
        f"{mean(row['wall_s'] for row in said):5.2f}  {median(row['baseline_ms'] for row in said):.3g}"
    )
    return "\n".join([text, *sorted(why_not)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--runs", type=int, default=100, help="of each kind")
    parser.add_argument("--slowdown", type=float, default=0.05)
    parser.add_argument("--limit", type=float, default=0.02)
    parser.add_argument("--limit-s", type=float, help="begin no comparison after so many seconds")
    parser.add_argument("--json", type=Path, help="store rows here, and go on from those that it holds")
    options = parser.parse_args()
    clock, faults = Limit(options.limit_s), 0
    task = Task(id="level1/1_Relu", source=TASK.format(elements=ELEMENTS[options.device]))
    with Evaluator(device=options.device, protocol="fast") as evaluator:
        hardware = evaluator.describe()["hardware"]["name"]
        results = Results(options.json, hardware=hardware)
        rounds = rounds_for(evaluator, task)
        baseline = kernel(rounds, "baseline")
        slowed = math.ceil(rounds * (1 + options.slowdown) - 1e-9)
        print(f"{hardware}: {rounds} rounds against {slowed}, limit {options.limit:.0%}, after {clock.spent_s:.0f} s")
        kinds = {"the same work": rounds, f"{options.slowdown:.0%} more work": slowed}
        for number in range(options.runs):
            for kind, current in kinds.items():
                if sum(row["kind"] == kind for row in results.rows) > number or clock.over or faults >= MOST_FAULTS:
                    continue
                started = time.perf_counter()
                try:
                    source = kernel(current, f"run {number}")
                    found = evaluator.compare(task, source, baseline, max_slowdown=1 + options.limit)
                except HarnessError as error:
                    print(f"{kind}: not measured, {error}", flush=True)
                    faults += 1
                    continue
                faults = 0
                results.add([{"kind": kind, **found.to_json(), "wall_s": time.perf_counter() - started}])
    print(f"{len(results.rows)} comparisons, {clock.spent_s:.0f} s")
    print(f"{'':16} called slower [95 %]         undecided  ratio (range)               series  s each  baseline_ms")
    for kind in kinds:
        print(line(kind, [row for row in results.rows if row["kind"] == kind]))


if __name__ == "__main__":
    main()
