"""The same run with one worker and with several: throughput, and whether both say the same.

    python benchmarks/sharding.py --workers 2 --tasks level1:eval --set sampling.k=16

Three runs of one command: one that is not timed fills the build cache and notes how long each task takes, then one
worker, then ``--workers``. On a GPU host each worker has a GPU of its own. Correctness must agree; speed-ups differ as
two timings differ.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

METRICS = ("correct", "any_correct", "solved", "fast_1_any", "fast_1")


def run(folder: Path, name: str, arguments: list[str]) -> float:
    """Wall seconds of one pytest run in ``folder``, its records in ``folder/name``."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", f"--kernelbench-run={name}", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - started


def report_of(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def verdicts(folder: Path) -> set[tuple[str, int, str]]:
    lines = (folder / "evaluations.jsonl").read_text().splitlines()
    return {(row["task"], row["index"], row["outcome"]) for row in map(json.loads, lines)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="2", help="for pytest -n")
    parser.add_argument("--strategy", default="best-of-64")
    parser.add_argument("--policy", default="tiny")
    parser.add_argument("--tasks", default="level1:eval")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as --kernelbench-set")
    options = parser.parse_args()
    policy = options.policy
    if policy.startswith("replay:"):
        policy = f"replay:{Path(policy.removeprefix('replay:')).absolute()}"
    own = [f"--strategy={options.strategy}", f"--policy={policy}", f"--tasks={options.tasks}"]
    own += [f"--kernelbench-set={each}" for each in options.set]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        several = ["-n", options.workers]
        seconds = {
            label: run(folder, label, [*own, *more])
            for label, more in (("warm-up", several), ("one", []), ("several", several))
        }
        one, many = report_of(folder / "one"), report_of(folder / "several")
        for label, report in (("one", one), ("several", many)):
            metrics = report["strategies"][options.strategy]["metrics"]
            shown = ", ".join(f"{each} {metrics[each]:.3f}" for each in METRICS)
            print(f"{label:>8}: {seconds[label]:.1f} s, {len(report['tasks'])} tasks, {shown}")
        differing = verdicts(folder / "one") ^ verdicts(folder / "several")
        print(f"verdicts that differ: {len(differing) // 2}")
        print(f"throughput with -n {options.workers}: {seconds['one'] / seconds['several']:.2f} times that of one")


if __name__ == "__main__":
    main()
