"""Each reference of a KernelBench checkout as its own candidate: correct, or refused with a reason, and never fast.

    python benchmarks/references.py ../KernelBench/KernelBench/level2 ../KernelBench/KernelBench/level3 --judges 6
    python benchmarks/references.py tasks/level1 --sizes small --device cpu

Each line: the task, and its outcome with the speed-up by the worker's timing, or why it is refused. The exit status is
1 if a reference is wrong, ends otherwise, or is fast. After ``--seconds`` no task is begun; the same command with the
same ``--json`` goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, as_completed
from pathlib import Path
from typing import Any

from floors import levels_of
from results import Limit, Results

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import EvaluatorPool, reference_as_candidate
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.protocols import PROTOCOLS
from pytest_kernelbench.records import Evaluation, Task
from pytest_kernelbench.tasks import load_tasks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", help="checkouts of KernelBench, folders of a level, or selectors")
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--sizes", default="full", choices=("full", "small"))
    parser.add_argument("--protocol", default="fast")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--judges", type=int, default=1, help="on the one device")
    parser.add_argument("--seconds", type=float, help="begin no task after so many")
    parser.add_argument("--json", type=Path, help="store rows here, and go on from those that it holds")
    options = parser.parse_args()
    results = Results(options.json, hardware=device_named(options.device).describe()["name"])
    for row in judged(tasks_of(options, {row["task"] for row in results.rows}), options):
        results.add([row])
        print(line(row), flush=True)
    kinds = Counter(row["kind"] for row in results.rows)
    counts = {kind: kinds[kind] for kind in ("correct", "refused", "fast", "not correct")}
    print(f"{len(results.rows)} references: " + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return 1 if counts["fast"] or counts["not correct"] else 0


def tasks_of(options: argparse.Namespace, known: set[str]) -> list[Task]:
    """The tasks that are not known yet."""
    levels = [level for each in options.tasks for level in levels_of(each)]
    tasks = [task for level in levels for task in load_tasks(level, sizes=options.sizes)]
    return [task for task in tasks if task.short_id not in known]


def judged(tasks: list[Task], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each task, as soon as it is judged."""
    devices, limit = [options.device] * options.judges, Limit(options.seconds)
    settings = {"protocol": options.protocol, "precision": options.precision}
    with EvaluatorPool(devices=devices, most_waiting=len(tasks) + 1, **settings) as pool:
        asked: dict[Future[Evaluation], Task] = {
            pool.submit(task, reference_as_candidate(task)): task for task in tasks
        }
        for done in as_completed(asked):
            if limit.over:
                for each in asked:
                    each.cancel()
            if not done.cancelled():
                yield row_of(asked[done], done, PROTOCOLS[options.protocol].margin(options.device))


def row_of(task: Task, done: Future[Evaluation], margin: float) -> dict[str, Any]:
    """The task, what kind of result it is, and what there is to say of it."""
    try:
        evaluation = done.result()
    except HarnessError as error:
        return {"task": task.short_id, "kind": "refused", "detail": str(error).splitlines()[0]}
    kind = "fast" if evaluation.fast(margin=margin) else "correct" if evaluation.correct else "not correct"
    return {"task": task.short_id, "kind": kind, **evaluation.to_json()}


def line(row: dict[str, Any]) -> str:
    """One line of output."""
    if row["kind"] == "refused":
        return f"{row['task']:14} refused: {row['detail']}"
    speedup = f"{row['speedup']:.3f}x" if row["speedup"] is not None else ""
    seconds = sum(spent for stage, spent in row["seconds"].items() if stage not in ("wait", "total"))
    return f"{row['task']:14} {row['outcome']:10} {speedup:8} {seconds:5.1f} s  {row['detail']}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
