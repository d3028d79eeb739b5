"""How often does an identical kernel count as fast, and how often does a truly faster one?

    python benchmarks/null.py --device cpu --tasks level1:subset1 --repeats 10
    python benchmarks/null.py --device cuda --tasks level1:eval --repeats 10 --power

The null: each task's reference, submitted as a candidate. Power (GPU only): a kernel that occupies the device
for 0.97 of the time its reference does, about 1 ms. One line a task, then the totals with 95 % intervals.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

from pytest_kernelbench.evaluation import Evaluator, reference_as_candidate
from pytest_kernelbench.records import Evaluation, Task
from pytest_kernelbench.stats.intervals import wilson
from pytest_kernelbench.tasks import load_tasks

CYCLES_OF_ONE_MS = 1_700_000
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


def line(name: str, evaluations: list[Evaluation], margin: float, seconds: float) -> str:
    """One line of the table."""
    ratios = [e.speedup for e in evaluations if e.speedup is not None]
    spread = f"{min(ratios):.4f} to {max(ratios):.4f}" if ratios else "none timed"
    raw = sum(e.fast_raw() for e in evaluations)
    verified = sum(e.fast(margin=margin) for e in evaluations)
    wrong = [f"{e.outcome.value}: {e.detail}" for e in evaluations if not e.correct]
    text = (
        f"{name:42.42} {len(evaluations) - len(wrong):3}/{len(evaluations)} correct  {raw:3} raw fast  "
        f"{verified:3} verified  {spread}  {seconds / len(evaluations):.2f} s each"
    )
    return "\n".join([text, *(f"    {each}" for each in sorted(set(wrong)))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--tasks", default="level1:subset1")
    parser.add_argument("--sizes", choices=["full", "small"])
    parser.add_argument("--protocol", default="full")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--power", action="store_true", help="also the kernel that is 3 %% faster (GPU)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    rows: dict[str, list[Evaluation]] = {}
    with Evaluator(device=options.device, protocol=options.protocol) as evaluator:
        hardware = evaluator.describe()["hardware"]
        print(f"{hardware['name']}, protocol {options.protocol}, margin {evaluator.margin}")
        sizes = options.sizes or ("full" if evaluator.device == "cuda" else "small")
        trials = [(task, reference_as_candidate(task)) for task in load_tasks(options.tasks, sizes=sizes)]
        if options.power:
            task = Task(id="power/1_three_percent", source=SLEEPING_TASK.format(name="Model", cycles=CYCLES_OF_ONE_MS))
            cycles = round(CYCLES_OF_ONE_MS * 0.97)
            trials.append((task, SLEEPING.format(name="ModelNew", cycles=cycles)))
        for task, source in trials:
            repeats = options.repeats if not task.id.startswith("power/") else 10 * options.repeats
            start = time.perf_counter()
            # One request each, as in a run: nothing is shared between repeats but the warm server.
            rows[task.id] = [one for _ in range(repeats) for one in evaluator.evaluate(task, [source])]
            print(line(task.id, rows[task.id], evaluator.margin, time.perf_counter() - start), flush=True)
        margin = evaluator.margin

    null = [e for name, each in rows.items() if not name.startswith("power/") for e in each]
    verified = sum(e.fast(margin=margin) for e in null)
    raw = sum(e.fast_raw() for e in null)
    widths = [math.log(e.speedup_high / e.speedup_low) / 2 for e in null if e.speedup_low and e.speedup_high]
    interval = wilson(verified, len(null))
    assert interval is not None
    print(f"null: {verified} of {len(null)} verified fast, 95 % interval {interval.low:.1%} to {interval.high:.1%}")
    print(f"raw, as the literature counts: {raw} of {len(null)}")
    print(f"half-width of the interval: median {sorted(widths)[len(widths) // 2]:.2%}")
    if options.power:
        found = rows["power/1_three_percent"]
        print(f"power: {sum(e.fast(margin=margin) for e in found)} of {len(found)} verified fast at 3 %")
    if options.json:
        content = {name: [e.to_json() for e in each] for name, each in rows.items()}
        options.json.write_text(json.dumps({"hardware": hardware, "evaluations": content}, indent=1))


if __name__ == "__main__":
    main()
