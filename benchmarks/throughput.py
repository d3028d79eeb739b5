"""How many candidates a minute, beside KernelBench's own evaluator on the same candidates in the same run.

    python benchmarks/throughput.py --peer ../KernelBench --device cuda --tasks level1:eval --json throughput.jsonl

``--peer`` is a checkout of github.com/ScalingIntelligence/KernelBench; nothing of it is kept here, and
``kernelbench_peer.py`` says how its evaluator is run. Both get this project's text of the task at the same size, and
candidates of the tiny policy's corpus: the reference, PyTorch spellings, a Triton kernel and a wrong one, drawn by
seed. The peer gets ``--peer-candidates`` of them a task. The evaluator here judges the same ones first, then all.

One line a task, seconds a candidate: the peer's with the process that it starts for each and, in brackets, its
call alone; then for each protocol here the same candidates / all of them, processes, inputs and reference included.
Starting the evaluator, once a run, is printed and not counted. Then candidates a minute, their ratios, and every
verdict that differs, with both reasons. Tasks come in random order and are stored whole: after ``--limit-s``
the figures hold for those that were reached, and the same command with the same ``--json`` goes on.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import kernelbench_peer
from corpus_candidates import Labelled, Mix, candidates_for
from results import Limit, Results

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.records import Task
from pytest_kernelbench.tasks import load_tasks, with_sizes

PEER = "peer"
SAME, ALL = "same", "all"


def rows_of_peer(task: Task, candidates: Sequence[Labelled], checkout: Path) -> list[dict[str, Any]]:
    reference = with_sizes(task.source, task.sizes)
    rows = []
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        for number, each in enumerate(candidates):
            result = kernelbench_peer.evaluate(
                checkout,
                reference=reference,
                candidate=each.source,
                # Its script is told the language for a whole run; Triton has to be a file.
                backend="triton" if each.language == "triton" else "cuda",
                build_dir=Path(folder, str(number)),
            )
            print(f"  peer: {each.name} {result.verdict}, {result.seconds:.1f} s", flush=True)
            rows.append({**_row(task, PEER, SAME, each), **asdict(result)})
    return rows


def rows_of(
    evaluator: Evaluator, cache: Path, task: Task, candidates: Sequence[Labelled], among: str
) -> list[dict[str, Any]]:
    """One request with all of ``candidates``, whose wall time they share evenly; none is built in ``cache``."""
    shutil.rmtree(cache)
    cache.mkdir()
    started = time.perf_counter()
    try:
        evaluations = list(evaluator.evaluate(task, [each.source for each in candidates]))
    except HarnessError as error:
        print(f"  {evaluator.protocol.name}: not measured, {error}", flush=True)
        return []
    said = [(e.outcome.value, " ".join([e.detail, *e.flags]).strip(), e.speedup) for e in evaluations]
    seconds = (time.perf_counter() - started) / len(candidates)
    return [
        {
            **_row(task, evaluator.protocol.name, among, each),
            "verdict": verdict,
            "reason": reason[:300],
            "speedup": speedup,
            "seconds": seconds,
        }
        for each, (verdict, reason, speedup) in zip(candidates, said, strict=True)
    ]


def _row(task: Task, by: str, among: str, candidate: Labelled) -> dict[str, Any]:
    return {
        "task": task.id,
        "by": by,
        "among": among,
        "candidate": candidate.name,
        "language": candidate.language,
        "label": "correct" if candidate.correct else "wrong",
    }


def picked(rows: Sequence[dict[str, Any]], by: str, among: str, task: str | None = None) -> list[dict[str, Any]]:
    return [r for r in rows if (r["by"], r["among"]) == (by, among) and task in (None, r["task"])]


def each_s(rows: Sequence[dict[str, Any]], key: str = "seconds") -> float | None:
    """Mean seconds a candidate, or None where nothing was measured."""
    known = [row[key] for row in rows if row.get(key) is not None]
    return sum(known) / len(known) if known else None


def line(task: str, rows: Sequence[dict[str, Any]], protocols: Sequence[str]) -> str:
    peer = picked(rows, PEER, SAME, task)
    cells = [f"{_s(each_s(peer))} ({_s(each_s(peer, 'call_s'))})".rjust(17)]
    for name in protocols:
        same, all_of_them = (each_s(picked(rows, name, among, task)) for among in (SAME, ALL))
        cells.append(f"{_s(same)} / {_s(all_of_them)}".rjust(15))
    return f"{task[:40]:40} {' '.join(cells)}"


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"


def totals(rows: Sequence[dict[str, Any]], protocols: Sequence[str]) -> list[str]:
    """Candidates a minute and their ratios, over every task that was reached."""
    peer = picked(rows, PEER, SAME)
    lines = [f"peer: {_rate(peer)}; its call alone {_rate(peer, 'call_s')}"] if peer else []
    for name in protocols:
        for among in (SAME, ALL):
            if ours := picked(rows, name, among):
                text = f"{name}, {'the same candidates' if among == SAME else 'all candidates'}: {_rate(ours)}"
                lines.append(text + _beside(peer, ours))
    return lines


def _beside(peer: Sequence[dict[str, Any]], ours: Sequence[dict[str, Any]]) -> str:
    """Ratios over the tasks that both were measured on."""
    by_task = {
        task: peer_s / ours_s
        for task in sorted({row["task"] for row in peer})
        if (peer_s := each_s([row for row in peer if row["task"] == task]))
        and (ours_s := each_s([row for row in ours if row["task"] == task]))
    }
    peer_s, call_s = (each_s([row for row in peer if row["task"] in by_task], key) for key in ("seconds", "call_s"))
    ours_s = each_s([row for row in ours if row["task"] in by_task])
    if not (peer_s and ours_s):
        return ""
    alone = "" if call_s is None else f", {call_s / ours_s:.1f} times its call alone"
    ratios = by_task.values()
    return (
        f"; {peer_s / ours_s:.1f} times the peer{alone}; "
        f"by task {min(ratios):.1f} to {max(ratios):.1f}, median {median(ratios):.1f}"
    )


def _rate(rows: Sequence[dict[str, Any]], key: str = "seconds") -> str:
    mean_s = each_s(rows, key)
    return "none" if mean_s is None else f"{60 / mean_s:.1f} a minute ({mean_s:.2f} s each, {len(rows)} candidates)"


def differences(rows: Sequence[dict[str, Any]], protocols: Sequence[str]) -> list[str]:
    """Where a protocol here and the peer, or the corpus's label, disagree on whether a candidate is correct."""
    peer = {(row["task"], row["candidate"]): row for row in picked(rows, PEER, SAME)}
    lines = []
    for name in protocols:
        ours = {(row["task"], row["candidate"]): row for row in [*picked(rows, name, SAME), *picked(rows, name, ALL)]}
        apart = [key for key, row in ours.items() if key in peer and _good(row) != _good(peer[key])]
        lines.append(f"{name}: verdicts differ from the peer's on {len(apart)} of {len(peer)} candidates")
        for key in apart:
            lines += [f"  {' '.join(key)}, labelled {ours[key]['label']}", _said("here", ours[key])]
            lines += [_said("peer", peer[key])]
        unlike = [key for key, row in ours.items() if _good(row) != (row["label"] == "correct")]
        lines.append(f"{name}: verdicts differ from the corpus's labels on {len(unlike)} of {len(ours)} candidates")
        lines += [f"  {' '.join(key)}, labelled {ours[key]['label']}\n{_said('here', ours[key])}" for key in unlike]
    return lines


def _good(row: dict[str, Any]) -> bool:
    return bool(row["verdict"] == "correct")


def _said(who: str, row: dict[str, Any]) -> str:
    return f"    {who}: {row['verdict']}{': ' if row['reason'] else ''}{row['reason']}"


def options_of_the_command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, metavar="CHECKOUT", help="a KernelBench checkout; without it, ours alone")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--tasks", default="level1:eval")
    parser.add_argument("--sizes", choices=["full", "small"])
    parser.add_argument("--protocols", default="fast,full")
    parser.add_argument("--torch", type=int, default=2, help="correct PyTorch candidates a task")
    parser.add_argument("--kernels", type=int, default=1, help="correct Triton candidates a task (C on a CPU)")
    parser.add_argument("--wrong", type=int, default=1, help="wrong candidates a task")
    parser.add_argument("--peer-candidates", type=int, default=1, help="how many of them the peer gets, at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-s", type=float, help="begin no task after so many seconds")
    parser.add_argument("--json", type=Path, help="store rows here, and go on from those that it holds")
    options = parser.parse_args()
    if options.peer is not None:
        try:
            seconds = kernelbench_peer.loading_s(options.peer)
        except ImportError as error:
            parser.error(f"--peer {options.peer}: {error}; give a KernelBench checkout and install what it needs")
        replaced = ", ".join(kernelbench_peer.absent_clients()) or "nothing"
        print(f"peer: a process loads torch and it in {seconds:.1f} s; replaced by empty modules: {replaced}")
    return options


@contextmanager
def evaluators_for(protocols: Sequence[str], device: str, cache: Path) -> Iterator[list[Evaluator]]:
    """One evaluator for each protocol; all build in ``cache``. Prints how long each took to start."""
    with ExitStack() as opened:
        evaluators: list[Evaluator] = []
        for name in protocols:
            started = time.perf_counter()
            evaluators.append(opened.enter_context(Evaluator(device=device, protocol=name, cache=cache)))
            hardware = hardware_of(evaluators[-1])
            print(f"{name}: started on {hardware} in {time.perf_counter() - started:.1f} s", flush=True)
        yield evaluators


def hardware_of(evaluator: Evaluator) -> str:
    return str(evaluator.describe()["hardware"]["name"])


def rows_of_task(
    task: Task, options: argparse.Namespace, evaluators: Sequence[Evaluator], cache: Path, peer: Path | None
) -> list[dict[str, Any]]:
    """The peer's candidates by the peer and by each evaluator, then all candidates by each evaluator."""
    device = evaluators[0].device
    languages = ["triton"] if device == "cuda" else ["c"]
    mix = Mix(torch=options.torch, kernels=options.kernels, wrong=options.wrong, languages=languages)
    candidates = candidates_for(task, mix, device=device, seed=options.seed)
    count = min(options.peer_candidates, len(candidates))
    same = random.Random(f"{options.seed} {task.id}").sample(candidates, count)
    rows = rows_of_peer(task, same, peer) if peer is not None else []
    for evaluator in evaluators:
        rows += rows_of(evaluator, cache, task, same, SAME)
        rows += rows_of(evaluator, cache, task, candidates, ALL) if len(same) < len(candidates) else []
    return rows


def main() -> None:
    options = options_of_the_command_line()
    limit, protocols, peer = Limit(options.limit_s), options.protocols.split(","), options.peer
    with (
        tempfile.TemporaryDirectory(prefix="cache-") as folder,
        evaluators_for(protocols, options.device, cache := Path(folder)) as evaluators,
    ):
        device = evaluators[0].device
        if peer is not None and device != "cuda":
            print("peer: runs on a GPU only; what follows is ours alone")
            peer = None
        results = Results(options.json, hardware=hardware_of(evaluators[-1]))
        done = {row["task"] for row in results.rows}
        tasks = load_tasks(options.tasks, sizes=options.sizes or ("full" if device == "cuda" else "small"))
        left = [task for task in tasks if task.id not in done]
        random.Random(options.seed).shuffle(left)
        heads = " ".join(f"{n + ' / all':>15}" for n in protocols)
        print(f"{'seconds a candidate':40} {'peer (its call)':>17} {heads}")
        while left and not limit.over:
            task = left.pop()
            rows = rows_of_task(task, options, evaluators, cache, peer)
            results.add(rows)
            print(line(task.id, rows, protocols), flush=True)

    reached = {row["task"] for row in results.rows}
    print(f"\n{len(reached)} of {len(tasks)} tasks reached, {limit.spent_s:.0f} s")
    print("\n".join([*totals(results.rows, protocols), "", *differences(results.rows, protocols)]))


if __name__ == "__main__":
    main()
