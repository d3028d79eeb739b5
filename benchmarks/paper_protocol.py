"""How many kernels that are fast as the paper measures stay fast when they are measured with care.

    python benchmarks/paper_protocol.py --device cuda --tasks level1:eval --json paper.jsonl

The same candidates (the reference, and correct texts of the tiny policy's corpus) under the protocols ``paper`` (one
side after the other, the mean of its trials, a speed-up over 1 is fast) and ``full`` (pairs, an interval, a margin).

One line a task: of its candidates, how many ``paper`` calls fast, how many of those ``full`` verifies, how many it
verifies in all, and the speed-up of the candidate that ``paper`` likes best under both. Below, the totals and each
candidate that lost its speed-up. Tasks come in random order and are stored whole: after ``--limit-s`` the figures
hold for those that were reached, and the same command with the same ``--json`` goes on.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from corpus_candidates import Mix, candidates_for
from results import Limit, Results

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.records import Evaluation
from pytest_kernelbench.report.stats.intervals import clopper_pearson
from pytest_kernelbench.tasks import load_tasks

PROTOCOLS = ("paper", "full")
LANGUAGES = {"cuda": ["triton", "cuda"], "cpu": ["c"]}


class Pair:
    """One candidate's evaluation under each protocol."""

    def __init__(self, row: dict[str, Any], margin: float) -> None:
        self.name = f"{row['task']} {row['candidate']}"
        self.paper = Evaluation.from_json(row["paper"])
        self.full = Evaluation.from_json(row["full"])
        self.paper_fast = self.paper.fast_raw()
        self.full_raw = self.full.fast_raw()
        self.full_fast = self.full.fast(margin=margin)


def line(task: str, pairs: Sequence[Pair], seconds: float | None = None) -> str:
    claimed = [pair for pair in pairs if pair.paper_fast]
    survived = sum(pair.full_fast for pair in claimed)
    verified = sum(pair.full_fast for pair in pairs)
    text = f"{task[:40]:40} {len(pairs):4} {len(claimed):6} {survived:9} {verified:9}  {winner(pairs):>17}"
    return text if seconds is None else f"{text}  {seconds:6.1f} s"


def winner(pairs: Sequence[Pair]) -> str:
    """Speed-up of the best under ``paper``, there and under ``full``."""
    best = _best(pairs)
    if best is None:
        return "none timed"
    full = "-" if best.full.speedup is None else f"{best.full.speedup:.3f}x"
    return f"{best.paper.speedup:.3f}x {full}"


def _best(pairs: Sequence[Pair]) -> Pair | None:
    timed = [pair for pair in pairs if pair.paper.speedup is not None]
    return max(timed, key=lambda pair: pair.paper.speedup or 0.0, default=None)


def totals(by_task: dict[str, list[Pair]]) -> list[str]:
    pairs = [pair for each in by_task.values() for pair in each]
    claimed = [pair for pair in pairs if pair.paper_fast]
    survived = sum(pair.full_fast for pair in claimed)
    interval = clopper_pearson(survived, len(claimed))
    lines = [f"paper: {len(claimed)} of {len(pairs)} candidates fast, on {_tasks(claimed)} of {len(by_task)} tasks"]
    if interval is not None:
        lines.append(
            f"of those, verified by full: {survived} ({survived / len(claimed):.0%}, 95 % interval {interval.low:.0%} "
            f"to {interval.high:.0%}); raw in full, too: {sum(pair.full_raw for pair in claimed)}"
        )
    missed = [pair for pair in pairs if pair.full_fast and not pair.paper_fast]
    lines.append(f"verified by full, and not fast in paper: {len(missed)}")
    references = [pair for pair in pairs if pair.name.endswith(" reference")]
    paper_null, full_null = (sum(getattr(p, name) for p in references) for name in ("paper_fast", "full_fast"))
    lines.append(
        f"the reference against itself: fast {paper_null} times in paper, {full_null} in full, of {len(references)}"
    )
    best = [b for each in by_task.values() if (b := _best(each)) and b.full.speedup is not None]
    if best:
        paper_x, full_x = (geometric_mean([getattr(b, name).speedup for b in best]) for name in PROTOCOLS)
        lines.append(f"paper's best of each task, geometric mean: {paper_x:.3f}x in paper, {full_x:.3f}x in full")
    return lines


def _tasks(pairs: Sequence[Pair]) -> int:
    return len({pair.name.partition(" ")[0] for pair in pairs})


def lost(pairs: Sequence[Pair]) -> list[str]:
    """Candidates that are fast in ``paper`` and not verified by ``full``, with what each of them says."""
    return [f"  {p.name}: {_said(p.paper)}, then {_said(p.full)}" for p in pairs if p.paper_fast and not p.full_fast]


def _said(evaluation: Evaluation) -> str:
    if evaluation.speedup is None:
        return f"{evaluation.outcome.value} ({', '.join(evaluation.flags) or evaluation.detail})"
    if evaluation.speedup_low is None:
        return f"{evaluation.speedup:.3f}x"
    return f"{evaluation.speedup:.3f}x [{evaluation.speedup_low:.3f}, {evaluation.speedup_high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--tasks", default="level1:eval")
    parser.add_argument("--sizes", choices=["full", "small"])
    parser.add_argument("--torch", type=int, default=4, help="PyTorch candidates a task")
    parser.add_argument("--kernels", type=int, default=4, help="candidates a task in other languages")
    parser.add_argument("--languages", help="comma-separated; default: triton,cuda (c on a CPU)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-s", type=float, help="begin no task after so many seconds")
    parser.add_argument("--json", type=Path, help="store rows here, and go on from those that it holds")
    options = parser.parse_args()
    limit = Limit(options.limit_s)

    evaluators = {name: Evaluator(device=options.device, protocol=name) for name in PROTOCOLS}
    hardware, device = evaluators["full"].describe()["hardware"]["name"], evaluators["full"].device
    margin = evaluators["full"].margin
    results = Results(options.json, hardware=hardware)
    done = {row["task"] for row in results.rows}
    tasks = load_tasks(options.tasks, sizes=options.sizes or ("full" if device == "cuda" else "small"))
    left = [task for task in tasks if task.id not in done]
    random.Random(options.seed).shuffle(left)
    print(f"{hardware}, margin {margin}")
    print(f"{'':40} {'of':>4} {'paper':>6} {'survived':>9} {'full':>9}  {'best: paper, full':>17}", flush=True)
    languages = options.languages.split(",") if options.languages else LANGUAGES[device]
    mix = Mix(torch=options.torch, kernels=options.kernels, wrong=0, languages=languages)
    while left and not limit.over:
        task = left.pop()
        candidates = candidates_for(task, mix, device=device, seed=options.seed)
        sources = [each.source for each in candidates]
        started = time.perf_counter()
        try:
            paper, full = (list(evaluators[name].evaluate(task, sources)) for name in PROTOCOLS)
        except HarnessError as error:
            print(f"{task.id}: left out, {error}", flush=True)
            continue
        rows = [
            {"task": task.id, "candidate": each.name, "paper": p.to_json(), "full": f.to_json()}
            for each, p, f in zip(candidates, paper, full, strict=True)
        ]
        results.add(rows)
        print(line(task.id, [Pair(row, margin) for row in rows], time.perf_counter() - started), flush=True)
    for evaluator in evaluators.values():
        evaluator.close()

    by_task: dict[str, list[Pair]] = {}
    for row in results.rows:
        by_task.setdefault(row["task"], []).append(Pair(row, margin))
    pairs = [pair for each in by_task.values() for pair in each]
    print(line("all", pairs))
    print(f"\n{len(by_task)} of {len(tasks)} tasks reached, {limit.spent_s:.0f} s")
    print("\n".join([*totals(by_task), *lost(pairs)]))


if __name__ == "__main__":
    main()
