"""Cold builds: candidates that compile CUDA C++ through ``load_inline``, on all cores, with nothing cached.

    python benchmarks/builds.py --device cuda --candidates 64 --json builds.jsonl

The candidates follow KernelBench's convention (a CUDA source, a C++ declaration, ``load_inline``) and no two compile
the same text: a row scaling (level1/12), a sum (level1/47) and a matrix product (level1/1), each with other block
sizes and unrolling. First the peer, PyTorch's own ``load_inline``, builds one of them with torch loaded and nothing
else to do; twice, because the first time compilers and headers come from the disk. Then another is evaluated alone,
twice; its build is what the first time took longer than the second, which finds it built. Then the rest, one request
a task, one line for each as it is ready. All caches are new folders.

Last: the wall time until every evaluation was in, the share of it that the device was in use (the stages load, check,
time and verify), and the ratio of the two builds that had the machine to themselves. On a CPU the candidates are C++,
of the first kind only. After ``--limit-s`` no further evaluation is waited for, and the figures hold for those that
are in.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from build_candidates import KINDS, Kind
from results import Limit, Results

from pytest_kernelbench.evaluation import Evaluator, reference_as_candidate
from pytest_kernelbench.evaluation.device.cpu import cores
from pytest_kernelbench.records import Evaluation, Task
from pytest_kernelbench.tasks import load_tasks

TRIAL = ("load", "check", "time", "attest")

# Torch is loaded before the clock starts: what is measured is the build.
BUILD_AS_PEER = "import sys, time, torch; t = time.perf_counter(); exec(open(sys.argv[1]).read(), {}); "
BUILD_AS_PEER += "print(time.perf_counter() - t)"


def peer_build_s(source: str) -> float:
    """Seconds of PyTorch's own ``load_inline`` for one candidate. Raises CalledProcessError, with its words shown."""
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        text = Path(folder, "candidate.py")
        text.write_text(source)
        environment = {**os.environ, "TORCH_EXTENSIONS_DIR": str(Path(folder, "builds"))}
        command = [sys.executable, "-c", BUILD_AS_PEER, str(text)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def in_use_s(evaluation: Evaluation) -> float:
    """Seconds for which the device was this candidate's."""
    return sum(evaluation.seconds.get(stage, 0.0) for stage in TRIAL)


def shares(candidates: int, kinds: Sequence[Kind]) -> dict[Kind, list[str]]:
    """Candidates for each kind, in nearly equal numbers. Raises ValueError for more than there are."""
    shared = {}
    for number, kind in enumerate(kinds):
        texts = kind.candidates()
        count = len(range(number, candidates, len(kinds)))
        if count > len(texts):
            raise ValueError(f"--candidates: {kind.name} has {len(texts)} texts, {count} were asked for")
        shared[kind] = texts[:count]
    return shared


def build_alone_s(evaluator: Evaluator, task: Task, source: str, results: Results) -> float:
    """What the build of one candidate adds to its evaluation."""
    # The first request also pays for the device's context.
    list(evaluator.evaluate(task, [reference_as_candidate(task)]))
    walls_s = []
    for what in ("cold", "cached"):
        started = time.perf_counter()
        (evaluation,) = evaluator.evaluate(task, [source])
        walls_s.append(time.perf_counter() - started)
        print(f"here, {what}: {walls_s[-1]:.1f} s with its trial, {said(evaluation)}", flush=True)
        results.add([{"what": what, "wall_s": walls_s[-1], **evaluation.to_json()}])
    return walls_s[0] - walls_s[1]


def evaluate_together(
    evaluator: Evaluator, shared: dict[Kind, list[str]], tasks: dict[Kind, Task], results: Results, limit: Limit
) -> tuple[list[Evaluation], float]:
    """Evaluations of all candidates, or of those that are in when the time is over, and the wall seconds."""
    started = time.perf_counter()
    evaluations: list[Evaluation] = []
    for kind, sources in shared.items():
        if limit.over:
            break
        for each in evaluator.evaluate(tasks[kind], sources):
            at_s = time.perf_counter() - started
            evaluations.append(each)
            print(f"{at_s:6.1f} s  {kind.name} #{len(evaluations)}  {said(each)}", flush=True)
            results.add([{"what": "together", "kind": kind.name, "at_s": at_s, **each.to_json()}])
            if limit.over:
                break
    return evaluations, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--sizes", choices=["full", "small"])
    parser.add_argument("--candidates", type=int, default=64)
    parser.add_argument("--kinds", help="some of scale_rows, sum_rows, square_matmul; default: all")
    parser.add_argument("--protocol", default="fast")
    parser.add_argument(
        "--peer-builds", type=int, default=2, help="builds by load_inline, of which the shortest counts"
    )
    parser.add_argument("--limit-s", type=float, help="wait for nothing more after so many seconds")
    parser.add_argument("--json", type=Path, help="add rows to this file")
    options = parser.parse_args()
    limit = Limit(options.limit_s)

    with (
        tempfile.TemporaryDirectory(prefix="builds-") as cache,
        Evaluator(device=options.device, protocol=options.protocol, cache=Path(cache)) as evaluator,
    ):
        hardware, device = evaluator.describe()["hardware"]["name"], evaluator.device
        results = Results(options.json, hardware=hardware)
        names = options.kinds.split(",") if options.kinds else [kind.name for kind in KINDS[device]]
        kinds = [kind for kind in KINDS[device] if kind.name in names]
        if not kinds:
            parser.error(f"--kinds={options.kinds}: none of {', '.join(kind.name for kind in KINDS[device])}")
        sizes = options.sizes or ("full" if device == "cuda" else "small")
        tasks = {kind: load_tasks(kind.task, sizes=sizes)[0] for kind in kinds}
        shared = shares(options.candidates + 1, kinds)
        alone = shared[kinds[0]].pop()
        print(f"{hardware}, {cores()} cores, {options.candidates} candidates: {', '.join(names)}", flush=True)

        peers_s = []
        for number in range(options.peer_builds):
            peers_s.append(peer_build_s(kinds[0].candidates()[-1 - number]))
            print(f"peer: load_inline alone, {peers_s[-1]:.1f} s", flush=True)
            results.add([{"what": "peer", "build_s": peers_s[-1]}])
        alone_s = build_alone_s(evaluator, tasks[kinds[0]], alone, results)
        evaluations, wall_s = evaluate_together(evaluator, shared, tasks, results, limit)

    outcomes = Counter(each.outcome.value for each in evaluations)
    print(f"\n{len(evaluations)} of {options.candidates} evaluations in {wall_s:.0f} s on {cores()} cores")
    print(", ".join(f"{count} {name}" for name, count in outcomes.most_common()))
    print(f"device in use: {sum(map(in_use_s, evaluations)) / wall_s:.0%} of that time")
    if peers_s:
        peer_s = min(peers_s)
        print(f"one cold build: {peer_s:.1f} s by load_inline, {alone_s:.1f} s here, {alone_s / peer_s:.2f} of it")


def said(evaluation: Evaluation) -> str:
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in evaluation.seconds.items())
    speedup = "" if evaluation.speedup is None else f" {evaluation.speedup:.2f}x"
    return f"{evaluation.outcome.value}{speedup} ({stages}) {evaluation.detail[:120]}".rstrip()


if __name__ == "__main__":
    main()
