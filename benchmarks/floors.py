"""Whether any reference of a KernelBench checkout is beyond its own floor, and how far it is from it.

    python benchmarks/floors.py ../KernelBench --device cuda
    python benchmarks/floors.py tasks/level1 --sizes small --device cpu --only 19,50

Each line: the task, its floor, the reference's time (the least of nine calls), and how many times the floor that is. A
reference is an honest kernel: one that is faster than 0.9 of its floor on a GPU (0.5 on a CPU, where caches hold part
of a problem) shows that the floor is no lower bound, and the exit status is 1. A reference that does not run is named
and left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.tasks import load_tasks, with_sizes

CALLS = 9


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", help="a KernelBench checkout, a folder of a level, or a selector such as level1")
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--sizes", default="full", choices=("full", "small"))
    parser.add_argument("--only", help="numbers of tasks, separated by commas")
    options = parser.parse_args()
    only = set(options.only.split(",")) if options.only else None
    beyond, skipped, known = [], [], 0
    for level in levels_of(options.tasks):
        for task in load_tasks(level, sizes=options.sizes):
            if only and task.short_id.rpartition("/")[2] not in only:
                continue
            try:
                bench = Bench(task.id, with_sizes(task.source, task.sizes), seed=0, device=options.device)
                bench.measure_floor()
            except HarnessError as error:
                skipped.append(task.short_id)
                print(f"{task.short_id:14} left out: {str(error).splitlines()[0]}", flush=True)
                continue
            took_ms = least_ms(bench)
            if took_ms < traits_of(options.device).floor_share * bench.floor_ms:
                bench.lower_floor()  # as the judge does before it says so
            known += 1
            is_beyond = took_ms < traits_of(options.device).floor_share * bench.floor_ms
            beyond += [task.short_id] if is_beyond else []
            said = f"{bench.floor_ms:10.4f} ms floor {took_ms:10.4f} ms reference {took_ms / bench.floor_ms:8.1f} times"
            print(f"{task.short_id:14} {said}{'  BEYOND' if is_beyond else ''}", flush=True)
            del bench
            device_named(options.device).leave_room()
    print(
        f"{known} references, {len(skipped)} left out, {len(beyond)} beyond their floor: {', '.join(beyond) or 'none'}"
    )
    return 1 if beyond else 0


def levels_of(tasks: str) -> list[str]:
    """The folders of a checkout's levels; a folder of one level, or a selector, is itself."""
    inside = [Path(tasks) / "KernelBench" / f"level{number}" for number in (1, 2, 3)]
    there = [str(folder) for folder in inside if folder.is_dir()]
    return there or [tasks]


def least_ms(bench: Bench) -> float:
    """Of ``CALLS`` calls of the reference on its example inputs, after one that is not counted."""
    device = device_named(bench.device)
    bench.reference.run(bench.example_inputs)
    return min(device.milliseconds(lambda: bench.reference.run(bench.example_inputs)) for _ in range(CALLS))


if __name__ == "__main__":
    sys.exit(main())
