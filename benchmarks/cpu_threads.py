"""How OpenMP's threads wait between the operators of a call on a CPU, and what that makes of the time of a call.

    python benchmarks/cpu_threads.py

A worker sleeps while the other one has its turn, and then makes some calls. Here a process does the same, under each of
five settings of the environment, in ``--processes`` new processes each: a call of 40 small operators, and a product of
matrices. Printed are the 10th, 50th and 90th percentile of the milliseconds a call, each from all calls of one wake,
the lowest and highest of the processes. Then the copy of 1.2 MB by a thread that is bound to a core of its own, and to
a core of OpenMP's second thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median, quantiles

import torch

from pytest_kernelbench.evaluation.device.host import to_first_core

ASLEEP = {"OMP_WAIT_POLICY": "passive"}
BOUND = {"OMP_PROC_BIND": "true"}
# Name: the environment, and whether the first thread is moved to the first core before calls.
SETTINGS: dict[str, tuple[dict[str, str], bool]] = {
    "as torch has them": ({}, False),
    "asleep, a core each": ({**ASLEEP, **BOUND}, True),
    "awake for 1,000 looks, where Linux puts them": ({**ASLEEP, "GOMP_SPINCOUNT": "1000"}, False),
    "awake for 1,000 looks, a core each": ({**ASLEEP, **BOUND, "GOMP_SPINCOUNT": "1000"}, True),
    "awake for 10,000 looks, a core each": ({**ASLEEP, **BOUND, "GOMP_SPINCOUNT": "10000"}, True),
}
PAUSE_S = 0.012
CALLS = 12
COPIES = 200


def of_bursts(call: Callable[[], object], bursts: int, *, move: bool) -> list[float]:
    """Percentiles 10, 50 and 90 of the milliseconds a call, over ``bursts`` wakes."""
    cores = frozenset(os.sched_getaffinity(0))
    call()
    ms = []
    for _ in range(bursts):
        time.sleep(PAUSE_S)
        if move:
            to_first_core(cores)
        started = time.perf_counter()
        for _ in range(CALLS):
            call()
        ms.append((time.perf_counter() - started) * 1e3 / CALLS)
    deciles = quantiles(ms, n=10, method="inclusive")
    return [deciles[0], deciles[4], deciles[8]]


def copy_ms(core: int) -> float:
    """Median milliseconds of a copy of 1.2 MB by this thread on ``core``."""
    origin, target = torch.rand(2, 300_000)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    ms = []
    for _ in range(COPIES):
        started = time.perf_counter()
        target.copy_(origin)
        ms.append((time.perf_counter() - started) * 1e3)
    os.sched_setaffinity(0, cores)
    return median(ms)


def measured(bursts: int, *, move: bool) -> dict[str, list[float]]:
    """What one process measures, by name."""
    x, square = torch.rand(300_000), torch.rand(512, 512)

    def small() -> None:
        for _ in range(40):
            torch.exp(x[:4000])

    found = {
        "40 small operators": of_bursts(small, bursts, move=move),
        "a product": of_bursts(lambda: square @ square, bursts, move=move),
    }
    cores = sorted(os.sched_getaffinity(0))
    found["copy, a core of its own; a core of another thread"] = [copy_ms(cores[0]), copy_ms(cores[1])]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--bursts", type=int, default=60, help="wakes of each process")
    parser.add_argument("--in-process", choices=["stay", "move"], help=argparse.SUPPRESS)
    parser.add_argument("--cores", type=int, nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_process:
        # OpenMP has bound this thread, which loaded it, to one core.
        os.sched_setaffinity(0, options.cores)
        print(json.dumps(measured(options.bursts, move=options.in_process == "move")))
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("cpu_threads.py: this process may use one core, and OpenMP's threads need two")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, __file__, f"--bursts={options.bursts}", "--cores", *map(str, cores)]
    for name, (setting, move) in SETTINGS.items():
        how = f"--in-process={'move' if move else 'stay'}"
        run = partial(subprocess.run, [*command, how], env=environment | setting, capture_output=True, check=True)
        shown = [json.loads(run().stdout) for _ in range(options.processes)]
        print(name)
        for what in shown[0]:
            by_place = zip(*(each[what] for each in shown), strict=True)
            print(f"  {what}: {', '.join(f'{min(ms):.3f} to {max(ms):.3f}' for ms in by_place)} ms", flush=True)


if __name__ == "__main__":
    main()
