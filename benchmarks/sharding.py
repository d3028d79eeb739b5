"""The same run with one worker and with several: throughput, and whether both say the same.

    python benchmarks/sharding.py --workers 2 --tasks level1:eval --candidates 4

The candidates are programs of the tiny policy's corpus that need no compiler, replayed, so that nothing but evaluation
is measured. Three runs of one command: a short one, after which nothing is read from the disk for the first time, then
one worker, from which pytest learns what each task takes, then ``--workers``. On a GPU host each worker has a GPU of
its own. Correctness must agree; speed-ups differ as two timings differ.

For both runs: the wall time of the whole command; of it, what passed from the begin of the first trial to the last
record, without the seconds in which pytest, torch and CUDA start; and the seconds of all trials together: where several
workers hinder each other these grow, and where one waits for the other they do not. Both do the same work, so the
ratio of throughputs is that of the times from first to last.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from corpus_candidates import Mix, candidates_for
from run_folders import rows_of, trials

from pytest_kernelbench.evaluation import resolve_device
from pytest_kernelbench.tasks import load_tasks

STRATEGY = "best-of-64"
METRICS = ("correct", "any_correct", "solved", "fast_1_any", "fast_1")
LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """``judging_s`` passed from the begin of the first trial to the last record; ``trials_s`` are added up."""

    wall_s: float
    judging_s: float
    trials_s: float
    evaluations: int


def run(folder: Path, name: str, arguments: list[str]) -> Run:
    """One pytest run in ``folder``, its records in ``folder/name``; nothing was built for it before."""
    seen: list[tuple[float, int]] = []
    over = threading.Event()

    def watch() -> None:
        paths = [folder / name / f"{table}.jsonl" for table in ("evaluations", "confirmations", "null")]
        while not over.wait(LOOK_EVERY_S):
            rows = sum(path.read_bytes().count(b"\n") for path in paths if path.exists())
            if rows and (not seen or rows > seen[-1][1]):
                seen.append((time.perf_counter(), rows))

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", f"--kernelbench-run={name}", *arguments]
    home = folder / f"home-{name}"
    home.mkdir()
    done = subprocess.run(command, cwd=folder, env={**os.environ, "HOME": str(home)}, capture_output=True, text=True)
    wall_s = time.perf_counter() - started
    over.set()
    watcher.join()
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    evaluations = rows_of(folder / name / "evaluations.jsonl")
    (first_s, first), (last_s, _) = seen[0], seen[-1]
    # A worker's first records may come together, when all of these trials are over.
    before_s: Counter[str] = Counter()
    for row in evaluations[:first]:
        before_s[row["task"]] += row["seconds"]["total"]
    return Run(
        wall_s=wall_s,
        judging_s=last_s - first_s + max(before_s.values()),
        trials_s=sum(row["seconds"]["total"] for row in trials(folder / name)),
        evaluations=len(evaluations),
    )


def write_answers(path: Path, tasks: str, device: str, count: int, seed: int) -> None:
    """A replay file with up to ``count`` candidates for each task."""
    rows = []
    mix = Mix(torch=count, kernels=count, wrong=1, languages=["triton"])
    for task in load_tasks(tasks):
        candidates = candidates_for(task, mix, device=device, seed=seed)
        chosen = [candidates[0], *candidates[1:][::-1]][:count]
        rows += [{"task": task.id, "text": f"```python\n{each.source}\n```"} for each in chosen]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def report_of(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def verdicts(folder: Path) -> set[tuple[str, int, str]]:
    return {(row["task"], row["index"], row["outcome"]) for row in rows_of(folder / "evaluations.jsonl")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="2", help="for pytest -n")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--tasks", default="level1:eval")
    parser.add_argument("--candidates", type=int, default=4, help="a task")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    device = resolve_device(options.device, "--device")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        answers = folder / "answers.jsonl"
        write_answers(answers, options.tasks, device, options.candidates, options.seed)
        own = [f"--strategy={STRATEGY}", f"--policy=replay:{answers}", f"--tasks={options.tasks}"]
        own += [f"--kernelbench-device={device}"]
        several = ["-n", options.workers]
        run(folder, "short", [*own, *several, "--kernelbench-protocol=fast", "--kernelbench-set=sampling.k=1"])
        runs = {}
        for label, more in (("one", []), ("several", several)):
            each = runs[label] = run(folder, label, [*own, *more])
            metrics = report_of(folder / label)["strategies"][STRATEGY]["metrics"]
            shown = ", ".join(f"{metric} {metrics[metric]:.3f}" for metric in METRICS)
            print(
                f"{label:>8}: {each.wall_s:.1f} s, from first to last {each.judging_s:.1f} s, of trials "
                f"{each.trials_s:.1f} s, {60 * each.evaluations / each.judging_s:.1f} evaluations a minute; {shown}",
                flush=True,
            )
        differing = verdicts(folder / "one") ^ verdicts(folder / "several")
        print(f"verdicts that differ: {len(differing) // 2} of {runs['one'].evaluations}")
        judging, whole = (
            getattr(runs["one"], each) / getattr(runs["several"], each) for each in ("judging_s", "wall_s")
        )
        print(
            f"with -n {options.workers}: {judging:.2f} times the throughput of one, "
            f"{whole:.2f} times with the start of the command"
        )


if __name__ == "__main__":
    main()
