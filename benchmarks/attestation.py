"""Does the judge's clock count what is faster, and only that? Measured on this machine's CPU or GPU.

    python benchmarks/attestation.py --device cuda --part null --repeats 6 --seconds 1500 --json null.jsonl
    python benchmarks/attestation.py --device cuda --part power --repeats 20 --seconds 1500 --json power.jsonl
    python benchmarks/attestation.py --device cuda --part forged --repeats 3 --seconds 900 --json forged.jsonl
    python benchmarks/attestation.py --device cpu --part null --tasks level1:subset1 --repeats 2

Every candidate makes the judge measure: its worker's stopwatch is patched, so that it claims more than is true.

``null``: the reference of each task as its own candidate, claimed to be 1.5 times as fast (1.1 on a GPU: a memory-bound
one that claimed more would be beyond physics, and not measured). None may count. Printed with the upper bound of the
rate at 95 %, and the standard deviation of log(attested), which between processes is about that times the root of two.

``power``: kernels of 20 us to 20 ms of which the candidate does 1.5, 3 and 5 % less, by arithmetic and by memory: how
many counted. ``forged``: kernels of 0.05 to 5 ms that are as fast as the reference, or 20 % faster, and claim 1 to 50 %
more than that: attested against true.

After ``--seconds`` the figures hold for what was reached; the same command with the same ``--json`` goes on.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, stdev
from typing import Any, NamedTuple

from results import Limit, Results

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import Evaluator, reference_as_candidate
from pytest_kernelbench.records import Evaluation, Task
from pytest_kernelbench.report.stats.intervals import clopper_pearson
from pytest_kernelbench.tasks import load_tasks

# In the candidate's process the durations of its calls are divided by ``factor``.
FORGED = """
import gc as _gc

_watch = type(next(o for o in _gc.get_objects() if type(o).__name__ == "Stopwatch"))
_honest = _watch.time

def _lying(self, module, inputs):
    lap = _honest(self, module, inputs)
    return lap._replace(ms=lap.ms / {factor}) if type(module).__name__ == "ModelNew" else lap

_watch.time = _lying
"""
# So much work, and an answer that does not depend on it.
KERNEL = """
import torch
import torch.nn as nn

class {name}(nn.Module):
    def __init__(self):
        super().__init__()
        self.buffer = {buffer}

    def forward(self, x):
        {work}
        return x + 1
"""
TASK = """
def get_inputs():
    return [torch.rand(1024)]

def get_init_inputs():
    return []
"""
PASSES = """for length in {lengths}:
            self.buffer[:length].neg_()"""
# (buffer, work, units): what is held, what is done, and so many units at first to find out what one takes.
WORK = {
    ("cuda", "arithmetic"): ("None", "torch.cuda._sleep({units})", 100_000),
    ("cuda", "memory"): ("torch.ones({most}, device='cuda')", PASSES, 10_000_000),
    ("cpu", "arithmetic"): ("torch.ones({most}, 64)", "self.buffer[:{units}] @ self.buffer[:64]", 4_000),
    ("cpu", "memory"): ("torch.ones({most})", PASSES, 1_000_000),
}
# What is left out must save time in truth: with any number of elements, 4 GB in one pass, 1.5 % fewer took 2.5 % longer
# (H200). So units are multiples of ``MULTIPLE``, and a pass is over at most ``MOST_AT_ONCE`` elements.
MULTIPLE = 64
MOST_AT_ONCE = 1 << 28
# Claims that are not counted for another reason than their interval: neighbours, a busy GPU, a call that is alone.
NOT_OF_THE_CLOCK = ("other", "the GPU", "a call")
KINDS = ("memory", "arithmetic")
NULL_BY = {"cuda": 1.1, "cpu": 1.5}
POWER_MS = (0.02, 0.1, 0.5, 2.0, 20.0)
POWER_SAVED = (0.015, 0.03, 0.05)
FORGED_MS = (0.05, 0.2, 1.0, 5.0)
FORGED_BY = (1.01, 1.03, 1.1, 1.25, 1.5)
TRUE_SPEEDUPS = (1.0, 1.2)


class Trial(NamedTuple):
    """One candidate: what it is called, and how many times as fast as the reference it is in truth."""

    name: str
    task: Task
    source: str
    truth: float


def kernel(device: str, kind: str, name: str, units: int, most: int) -> str:
    buffer, work, _ = WORK[device, kind]
    passes, rest = divmod(units, MOST_AT_ONCE)
    lengths = [*[MOST_AT_ONCE] * passes, *([rest] if rest else [])]
    held = min(most, MOST_AT_ONCE)
    return KERNEL.format(name=name, buffer=buffer.format(most=held), work=work.format(units=units, lengths=lengths))


def in_multiples(units: float) -> int:
    return max(1, round(units / MULTIPLE)) * MULTIPLE


def units_for(evaluator: Evaluator, kind: str, milliseconds: float) -> int:
    """So many units take that long; asked in three steps, because little work takes longer for its amount."""
    units = WORK[evaluator.device, kind][2]
    for step in range(3):
        source = kernel(evaluator.device, kind, "Model", units, units) + TASK
        task = Task(id=f"attestation/{step}_{kind}", source=source)
        (found,) = evaluator.evaluate(task, [reference_as_candidate(task)])
        if found.reference_ms is None:
            raise SystemExit(f"{kind}: {found.outcome.value}, {found.detail}")
        units = in_multiples(units * milliseconds / found.reference_ms)
    return units


def made_up(options: argparse.Namespace, evaluator: Evaluator) -> Iterator[Trial]:
    """The trials of ``power`` and ``forged``, one duration after the other."""
    device, part = evaluator.device, options.part
    durations_ms = options.milliseconds or (POWER_MS if part == "power" else FORGED_MS)
    for kind in options.kinds:
        for milliseconds in durations_ms:
            units = units_for(evaluator, kind, milliseconds)
            source = kernel(device, kind, "Model", units, units) + TASK
            task = Task(id=f"attestation/9_{kind}_{milliseconds:g}_ms", source=source)
            if part == "power":
                wanted = [(1 / (1 - saved), 1.5) for saved in POWER_SAVED]
            else:
                wanted = [(truth, factor) for truth in TRUE_SPEEDUPS for factor in FORGED_BY]
            for truth, factor in wanted:
                own_units = in_multiples(units / truth)
                own = kernel(device, kind, "ModelNew", own_units, units)
                name = f"{kind:10} {milliseconds:5g} ms  true {truth:.3f}  claimed {truth * factor:.3f}"
                yield Trial(name, task, own + FORGED.format(factor=factor), units / own_units)


def null(options: argparse.Namespace, device: str) -> Iterator[Trial]:
    for task in load_tasks(options.tasks, sizes=options.sizes or ("full" if device == "cuda" else "small")):
        own = f"{task.source}\n\n\nclass ModelNew(Model):\n    pass\n"
        yield Trial(task.short_id, task, own + FORGED.format(factor=NULL_BY[device]), 1.0)


def line(name: str, rows: Sequence[dict[str, Any]], margin: float) -> str:
    """One line of the table, and the reasons for which claims did not count, or candidates failed."""
    evaluations = [Evaluation.from_json(row) for row in rows]
    attested = [e.attested for e in evaluations if e.attested is not None]
    inside = sum(
        e.attested_low <= row["truth"] <= e.attested_high
        for e, row in zip(evaluations, rows, strict=True)
        if e.attested_low is not None and e.attested_high is not None
    )
    fast = sum(e.fast(margin=margin) for e in evaluations)
    told = f"{median(attested):.4f} ({min(attested):.4f} to {max(attested):.4f})" if attested else "none"
    seconds = median(e.seconds.get("attest", 0.0) for e in evaluations)
    text = (
        f"{name:48.48} {fast:3} of {len(evaluations):3} fast  {sum(e.correct for e in evaluations):3} correct  "
        f"attested {told}  truth inside {inside} of {len(attested)}  {seconds:.1f} s"
    )
    reasons = {e.uncounted_because for e in evaluations if e.uncounted_because.startswith(NOT_OF_THE_CLOCK)}
    reasons |= {f"{e.outcome.value}: {e.detail}" for e in evaluations if not e.correct}
    reasons |= {"made no claim" for e in evaluations if e.correct and e.counted is None}
    return "\n".join([text, *(f"    {each}" for each in sorted(reasons))])


def totals(rows: Sequence[dict[str, Any]], margin: float) -> list[str]:
    """How many of all counted, with the bound of that rate, and how far the attested are from the truth."""
    evaluations = [Evaluation.from_json(row) for row in rows]
    fast = sum(e.fast(margin=margin) for e in evaluations)
    bounds = clopper_pearson(fast, len(evaluations))
    logs = [
        math.log(e.attested / row["truth"]) for e, row in zip(evaluations, rows, strict=True) if e.attested is not None
    ]
    lines = [f"{fast} of {len(evaluations)} fast" + (f", at most {bounds.high:.2%}" if bounds is not None else "")]
    lines.append(f"{sum(not e.correct for e in evaluations)} not correct, {len(logs)} measured by the judge's clock")
    if len(logs) > 1:
        lines.append(f"log(attested / true): median {median(logs):+.3%}, standard deviation {stdev(logs):.3%}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--part", required=True, choices=["null", "power", "forged"])
    parser.add_argument("--tasks", default="level1", help="of the null")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS, help="what limits a made-up kernel")
    parser.add_argument("--milliseconds", nargs="+", type=float, help="how long its calls take")
    parser.add_argument("--sizes", choices=["full", "small"])
    parser.add_argument("--protocol", default="full")
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--seconds", type=float, help="begin no candidate after so many")
    parser.add_argument("--json", type=Path, help="store rows here, and go on from those that it holds")
    options = parser.parse_args()
    limit = Limit(options.seconds)
    with Evaluator(device=options.device, protocol=options.protocol) as evaluator:
        hardware, margin = evaluator.describe()["hardware"]["name"], evaluator.margin
        print(f"{hardware}, protocol {options.protocol}, margin {margin}, {time.strftime('%Y-%m-%d')}", flush=True)
        results = Results(options.json, hardware=hardware)
        for trial in null(options, evaluator.device) if options.part == "null" else made_up(options, evaluator):
            known = sum(row["trial"] == trial.name for row in results.rows)
            if limit.over:
                break
            # Identical texts would be tried once.
            copies = [f"{trial.source}\n# copy {copy}\n" for copy in range(known, options.repeats)]
            if not copies:
                continue
            try:
                evaluations = list(evaluator.evaluate(trial.task, copies))
            except HarnessError as error:
                print(f"{trial.name}: not measured, {error}", flush=True)
                continue
            rows = [{"trial": trial.name, "truth": trial.truth, **each.to_json()} for each in evaluations]
            results.add(rows)
            print(f"{limit.spent_s:5.0f} s  {line(trial.name, rows, margin)}", flush=True)
    print("\n".join(totals(results.rows, margin)) if results.rows else "nothing was reached")


if __name__ == "__main__":
    main()
