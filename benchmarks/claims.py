"""How often a claim to be fast is believed: of kernels that are faster by a known factor, and of modest cheats.

    python benchmarks/claims.py --runs 16
    python benchmarks/claims.py --runs 16 --device cuda --protocol full
    python benchmarks/claims.py --runs 1 --cheats all

The honest ones do without some of what their reference does for nothing. The cheats are those rows of the catalogue
(``tests/adversarial/``) that claim less than a factor of 1.5, or all whose claim may be left to the judge's clock. Each
is submitted ``--runs`` times, as texts that differ in a comment. One line for each: how often it was verified fast,
with its exact interval at 95 %, how often it was void and for what, the ranges of the speed-ups that it claimed and of
those that the judge's clock attested, and the seconds of a trial.
"""

from __future__ import annotations

import argparse
import runpy
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.records import Evaluation, Outcome, Task
from pytest_kernelbench.report.stats.intervals import clopper_pearson

CATALOGUE = Path(__file__).parent.parent / "tests" / "adversarial"
MODEST = ("slow_reference_by_a_tenth", "slow_reference_by_a_third", "forged_durations_by_three_tenths")
SIDE = {"cpu": 512, "cuda": 4096}
MODULE = """
import torch

class {name}(torch.nn.Module):
    def forward(self, a, b):
        {wasted}
        return a @ b
"""
TASK = (
    MODULE
    + """
def get_inputs():
    return [torch.rand({side}, {side}), torch.rand({side}, {side})]

def get_init_inputs():
    return []
"""
)
WASTED = {"1.33 times faster": "a[: len(a) // 3] @ b", "4 times faster": "[a @ b for _ in range(3)]"}


class Claim(NamedTuple):
    """A kernel and what it is."""

    name: str
    task: Task
    source: str


def claims(device: str, cheats: Sequence[str]) -> Iterator[Claim]:
    """Two honest kernels, then the ``cheats`` of the catalogue that run on ``device`` and may be left to its clock."""
    for number, (name, wasted) in enumerate(WASTED.items(), start=1):
        source = TASK.format(name="Model", wasted=wasted, side=SIDE[device])
        yield Claim(name, Task(id=f"claims/{number}", source=source), MODULE.format(name="ModelNew", wasted="pass"))
    tasks = runpy.run_path(str(CATALOGUE / "tasks.py"))["TASKS"]
    for name in cheats:
        row = runpy.run_path(str(CATALOGUE / "catalogue" / f"{name}.py"))
        if row["DEVICE"] in (device, "any") and "not_fast" in row["OUTCOMES"]:
            yield Claim(name, tasks[row["TASK"]][device], row["CHEAT"])


def line(name: str, evaluations: Sequence[Evaluation], margin: float, seconds: float) -> str:
    fast = sum(each.fast(margin=margin) for each in evaluations)
    interval = clopper_pearson(fast, len(evaluations))
    bounds = "" if interval is None else f"[{interval.low:4.0%}, {interval.high:4.0%}]"
    flags = Counter(flag for each in evaluations for flag in each.flags)
    void = sum(each.outcome is Outcome.VOID for each in evaluations)
    why = f" ({', '.join(f'{flag} {count}' for flag, count in flags.most_common())})" if flags else ""
    claimed = spread(each.speedup for each in evaluations)
    attested = spread(each.attested for each in evaluations)
    told = f"{name:40} {fast:3} of {len(evaluations)} fast {bounds}  {void:3} void{why}"
    return f"{told}  claimed {claimed}  attested {attested}  {seconds:.1f} s each"


def spread(speedups: Iterable[float | None]) -> str:
    """The least and the greatest speed-up as text; ``none`` where no speed-up was measured."""
    known = [each for each in speedups if each is not None]
    return f"{min(known):.3f}x to {max(known):.3f}x" if known else "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--protocol", default="full")
    parser.add_argument("--runs", type=int, default=16, help="of each kernel")
    parser.add_argument("--cheats", default="modest", choices=["modest", "all"])
    options = parser.parse_args()
    every = sorted(file.stem for file in (CATALOGUE / "catalogue").glob("*.py"))
    cheats = MODEST if options.cheats == "modest" else every
    with Evaluator(device=options.device, protocol=options.protocol) as evaluator:
        hardware = evaluator.describe()["hardware"]["name"]
        print(f"{hardware}, protocol {options.protocol}, margin {evaluator.margin}", flush=True)
        for claim in claims(evaluator.device, cheats):
            started = time.perf_counter()
            copies = [f"{claim.source}\n# copy {copy}\n" for copy in range(options.runs)]
            evaluations = list(evaluator.evaluate(claim.task, copies))
            seconds = (time.perf_counter() - started) / options.runs
            print(line(claim.name, evaluations, evaluator.margin, seconds), flush=True)


if __name__ == "__main__":
    main()
