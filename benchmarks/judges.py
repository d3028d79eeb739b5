"""How many times the work of one judge do several do, each on a device of its own, behind one queue?

    python benchmarks/judges.py --devices cuda:0,cuda:1
    python benchmarks/judges.py --devices cuda,cuda --ray auto                                 judges of a Ray cluster
    python benchmarks/judges.py --devices cpu,cpu --tasks level1/19,level1/32 --sizes small    the same code, no gain

The candidates are programs of the tiny policy's corpus that need no compiler. One ``EvaluatorPool`` judges all of them
on the first device, another pool on all devices. Before, each pool has judged the reference of a task on each device,
so that no process starts within the measured time. Both begin without builds. Verdicts must agree.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from corpus_candidates import Mix, candidates_for

from pytest_kernelbench.evaluation import EvaluatorPool, reference_as_candidate
from pytest_kernelbench.records import Outcome, Task
from pytest_kernelbench.tasks import load_tasks

Asked = tuple[Task, str]
# Longer than a judge may take to start.
LIMIT_S = 600.0
BETWEEN_LOOKS_S = 0.05


def judged(
    devices: Sequence[str], asked: Sequence[Asked], cache: Path, options: argparse.Namespace
) -> tuple[float, list[Outcome]]:
    """Seconds from the first request to the last answer, and what each candidate is."""
    with EvaluatorPool(devices=devices, ray=options.ray, protocol=options.protocol, cache=cache) as pool:
        # A judge that is not there yet would leave its first task to another one.
        deadline = time.monotonic() + LIMIT_S
        while pool.ready < len(devices) and time.monotonic() < deadline:
            time.sleep(BETWEEN_LOOKS_S)
        first = [task for task, _ in asked][: len(devices)]
        for each in [pool.submit(task, reference_as_candidate(task)) for task in first]:
            each.result(LIMIT_S)
        started = time.perf_counter()
        answers = [pool.submit(task, source) for task, source in asked]
        outcomes = [each.result(LIMIT_S).outcome for each in answers]
        return time.perf_counter() - started, outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", default="cuda:0,cuda:1")
    parser.add_argument("--ray", help="judges are actors of this Ray cluster; devices are then kinds: cuda,cuda")
    parser.add_argument("--tasks", default="level1:eval")
    parser.add_argument("--sizes", default="full", choices=["full", "small"])
    parser.add_argument("--candidates", type=int, default=4, help="a task")
    parser.add_argument("--protocol", default="fast")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    devices = options.devices.split(",")
    kind, count = devices[0].partition(":")[0], options.candidates
    mix = Mix(torch=count, kernels=count, wrong=1, languages=["triton"])
    asked = [
        (task, each.source)
        for task in load_tasks(options.tasks, sizes=options.sizes)
        for each in candidates_for(task, mix, device=kind, seed=options.seed)[:count]
    ]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for some in (devices[:1], devices):
            cache = Path(folder, str(len(some)))
            found[len(some)] = judged(some, asked, cache, options)
            print(f"{','.join(some):>16}: {len(asked)} candidates in {found[len(some)][0]:.1f} s", flush=True)
    (one_s, one), (several_s, several) = found[1], found[len(devices)]
    print(f"verdicts that differ: {sum(a != b for a, b in zip(one, several, strict=True))} of {len(asked)}")
    print(f"{len(devices)} judges: {one_s / several_s:.2f} times the throughput of one")


if __name__ == "__main__":
    main()
