"""How often does an identical kernel count as fast, and how often does a truly faster one?

    python benchmarks/null.py --device cpu --tasks level1:subset1 --repeats 10
    python benchmarks/null.py --device cuda --tasks level1:eval --repeats 10 --power --limit-s 500 --json null.jsonl

The null: each task's reference, submitted as a candidate. Power (GPU only): a kernel that occupies the device
for 0.97 of the time its reference does, about 1 ms; ten times as often. Tasks take turns, a request of
``--per-request`` copies each, as the candidates of a run come. After ``--limit-s`` the figures hold for what was
reached, and the same command with the same ``--json`` goes on until every task has its repeats.

One line a task: how many were correct, fast by the point estimate alone, and verified fast; the speed-ups' range and
the seconds an evaluation. Then the totals with 95 % intervals.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results import Limit, Results

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import Evaluator, reference_as_candidate
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.extensions import Extensions, entry_points
from pytest_kernelbench.records import Evaluation, Task
from pytest_kernelbench.report.stats.intervals import clopper_pearson
from pytest_kernelbench.tasks import load_tasks

CYCLES_OF_ONE_MS = 1_700_000
POWER = "power/1_three_percent"
SLEEPING = """
import torch
import torch.nn as nn

class {name}(nn.Module):
    def forward(self, x):
        torch.cuda._sleep({cycles})
        return x + 1
"""
SLEEPING_TASK = (
    SLEEPING
    + """
def get_inputs():
    return [torch.rand(1024)]

def get_init_inputs():
    return []
"""
)


def line(name: str, rows: Sequence[dict[str, Any]], margin: float) -> str:
    """One line of the table."""
    evaluations = [Evaluation.from_json(row) for row in rows]
    ratios = [e.speedup for e in evaluations if e.speedup is not None]
    spread = f"{min(ratios):.4f} to {max(ratios):.4f}" if ratios else "none timed"
    raw = sum(e.fast_raw() for e in evaluations)
    verified = sum(e.fast(margin=margin) for e in evaluations)
    wrong = [f"{e.outcome.value}: {e.detail}" for e in evaluations if not e.correct]
    seconds = sum(row["wall_s"] for row in rows) / len(rows)
    text = (
        f"{name:42.42} {len(evaluations) - len(wrong):3}/{len(evaluations)} correct  {raw:3} raw fast  "
        f"{verified:3} verified  {spread}  {seconds:.2f} s each"
    )
    return "\n".join([text, *(f"    {each}" for each in sorted(set(wrong)))])


def share(successes: int, of: int) -> str:
    interval = clopper_pearson(successes, of)
    return f"0 of {of}" if interval is None else f"{successes} of {of} ({interval.low:.1%} to {interval.high:.1%})"


def totals(rows: Sequence[dict[str, Any]], margin: float) -> list[str]:
    """The null's rates, the median half-width of its intervals, and the power, as far as they were measured."""
    null = [Evaluation.from_json(row) for row in rows if row["task"] != POWER]
    power = [Evaluation.from_json(row) for row in rows if row["task"] == POWER]
    widths = [math.log(e.speedup_high / e.speedup_low) / 2 for e in null if e.speedup_low and e.speedup_high]
    lines = []
    if null:
        lines.append(f"null: {share(sum(e.fast(margin=margin) for e in null), len(null))} verified fast")
        lines.append(f"raw, as the literature counts: {share(sum(e.fast_raw() for e in null), len(null))}")
    if widths:
        lines.append(f"half-width of the interval: median {sorted(widths)[len(widths) // 2]:.2%}")
    if power:
        lines.append(f"power: {share(sum(e.fast(margin=margin) for e in power), len(power))} verified fast at 3 %")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, or the entry point of a package")
    parser.add_argument("--tasks", default="level1:subset1")
    parser.add_argument("--sizes", choices=["full", "small"])
    parser.add_argument("--protocol", default="full")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--per-request", type=int, default=5, help="copies that are judged in one request")
    parser.add_argument("--power", action="store_true", help="also the kernel that is 3 %% faster (GPU)")
    parser.add_argument("--limit-s", type=float, help="begin no request after so many seconds")
    parser.add_argument("--json", type=Path, help="store rows here, and go on from those that it holds")
    options = parser.parse_args()
    limit = Limit(options.limit_s)
    Extensions().add(entry_points())

    with Evaluator(device=options.device, protocol=options.protocol) as evaluator:
        hardware, margin = evaluator.describe()["hardware"]["name"], evaluator.margin
        print(f"{hardware}, protocol {options.protocol}, margin {margin}", flush=True)
        results = Results(options.json, hardware=hardware)
        sizes = options.sizes or ("full" if is_gpu(evaluator.device) else "small")
        trials = [
            (task, reference_as_candidate(task), options.repeats) for task in load_tasks(options.tasks, sizes=sizes)
        ]
        if options.power:
            task = Task(id=POWER, source=SLEEPING_TASK.format(name="Model", cycles=CYCLES_OF_ONE_MS))
            cycles = round(CYCLES_OF_ONE_MS * 0.97)
            trials.insert(0, (task, SLEEPING.format(name="ModelNew", cycles=cycles), 10 * options.repeats))
        rounds = math.ceil(options.repeats / options.per_request)
        for number in range(1, rounds + 1):
            for task, source, repeats in trials:
                known = sum(row["task"] == task.id for row in results.rows)
                copies = range(known, round(repeats * number / rounds))
                if not copies or limit.over:
                    continue
                start = time.perf_counter()
                try:
                    # Identical texts would be tried once.
                    evaluations = list(evaluator.evaluate(task, [f"{source}\n# copy {copy}\n" for copy in copies]))
                except HarnessError as error:
                    print(f"{task.id}: not measured, {error}", flush=True)
                    continue
                wall_s = (time.perf_counter() - start) / len(evaluations)
                rows = [{"task": task.id, **each.to_json(), "wall_s": wall_s} for each in evaluations]
                results.add(rows)
                print(f"{limit.spent_s:5.0f} s  round {number}  {line(task.id, rows, margin)}", flush=True)

    print(f"\n{len(results.rows)} evaluations, {limit.spent_s:.0f} s")
    for task, _, _ in trials:
        rows = [row for row in results.rows if row["task"] == task.id]
        print(line(task.id, rows, margin) if rows else f"{task.id}: not reached")
    print("\n".join(totals(results.rows, margin)))


if __name__ == "__main__":
    main()
