"""Kernels that nobody here wrote: how many are judged a minute, how, and which published speed-ups hold.

    python benchmarks/real_kernels.py ../CUDA-L1 ../eh_kernelbench --peer ../KernelBench --device cuda

Each positional argument is a checkout of a corpus (``real_corpora.py`` says which), read at run time; nothing of it is
kept. All kernels of a corpus go through one pytest session as recorded answers, with empty build caches, one task an
item, as a user would have them judged. Then KernelBench's own evaluator (``--peer``, a checkout of
github.com/ScalingIntelligence/KernelBench) judges as many of the same candidates, at random, as ``--peer-limit-s``
allows, alone on the device.

For each corpus it prints candidates a minute (from the first item's begin to the last verdict), the share of that time
in which candidates had the device, together or one alone, verdicts by kind, every difference to the peer's, and of
published speed-ups how many hold. ``--json`` gets one row a candidate.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import kernelbench_peer
from real_corpora import Candidate, Corpus, read_corpus
from scipy.special import stdtrit

from pytest_kernelbench.evaluation.sandbox import descendants
from pytest_kernelbench.evaluation.sharing.lock import folder_for_all
from pytest_kernelbench.evaluation.worker.extensions import uses_extensions
from pytest_kernelbench.records import Evaluation, Task, sha256_of

STRATEGY = """\
description = "Every answer of a corpus."
[sampling]
k = {k}
[evaluation]
protocol = "{protocol}"
precision = "{precision}"
[selection]
by = "random"
"""
# What a session may take to write its report once it is interrupted.
ENDING_S = 20.0
LOOK_EVERY_S = 0.2
# A process that holds a lock, alone (WRITE) or with others: 1: FLOCK  ADVISORY  WRITE 1234 08:02:5678 0 EOF
HOLDER = re.compile(r"^\d+: FLOCK +\w+ +(WRITE|READ) (\d+) \w+:\w+:(\d+) ", re.MULTILINE)
DEVICE = re.compile(r"kernelbench-(GPU-[0-9a-f-]*[0-9a-f]|cpu)\.lock")
# Stages of an evaluation in which the candidate has the device.
ON_DEVICE = ("load", "check", "time", "attest")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One session: a row for each candidate, seconds from its begin to each row, looks at the device, what it printed.

    ``holds`` counts looks after the first row by what ``hold_of_device`` said.
    """

    rows: list[dict[str, Any]]
    arrivals: list[float]
    holds: Counter[str]
    log: str


def judge(corpus: Corpus, tasks: Sequence[Task], folder: Path, options: argparse.Namespace) -> Judged:
    """One pytest session over all candidates."""
    by_task: dict[str, list[Candidate]] = {}
    for candidate in corpus.candidates:
        by_task.setdefault(candidate.task, []).append(candidate)
    ids = {task.short_id: task.id for task in tasks}
    answers = folder / "answers.jsonl"
    with answers.open("w") as file:
        for short_id, candidates in by_task.items():
            for candidate in candidates:
                text = f"```python\n{candidate.source}\n```\n"
                file.write(json.dumps({"task": ids[short_id], "text": text}) + "\n")
    strategy = folder / "corpus.toml"
    k = max(map(len, by_task.values()))
    strategy.write_text(STRATEGY.format(k=k, protocol=options.protocol, precision=options.precision))
    where = ",".join(sorted({str(task.path) for task in tasks}))
    run, home = folder / "run", folder / "home"
    home.mkdir()
    command = [
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", f"--strategy={strategy}",
        f"--policy=replay:{answers}", f"--tasks={where}", f"--kernelbench-sizes={options.sizes}",
        f"--kernelbench-device={options.device}", f"--kernelbench-run={run}", "--no-kernelbench-null", *options.pytest,
    ]  # fmt: skip
    log = (folder / "pytest.log").open("w")
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
    arrivals: list[float] = []
    holds: Counter[str] = Counter()
    records = run / "evaluations.jsonl"
    while process.poll() is None:
        time.sleep(LOOK_EVERY_S)
        if arrivals:
            holds[hold_of_device(process.pid)] += 1
        count = records.read_bytes().count(b"\n") if records.exists() else 0
        arrivals += [time.monotonic() - started] * (count - len(arrivals))
        if time.monotonic() - started > options.limit_s:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=ENDING_S)
            except subprocess.TimeoutExpired:
                process.kill()
    log.close()
    published = {(ids[each.task], sha256_of(each.source)): each.published for each in corpus.candidates}
    lines = records.read_text().splitlines() if records.exists() else []
    if not lines:
        raise RuntimeError(f"{corpus.name}: nothing was judged; pytest said:\n{(folder / 'pytest.log').read_text()}")
    rows = [
        {**row, "corpus": corpus.name, "published": published_speedup(row, published)} for row in map(json.loads, lines)
    ]
    return Judged(rows=rows, arrivals=arrivals, holds=holds, log=(folder / "pytest.log").read_text())


def hold_of_device(session: int) -> str:
    """How trials below a process hold their device now: ``alone``, ``together``, or ``nobody`` does."""
    inodes = {
        str(path.stat().st_ino) for path in folder_for_all().glob("kernelbench-*.lock") if DEVICE.match(path.name)
    }
    judges = {str(each) for each in descendants(session)}
    locks = HOLDER.findall(Path("/proc/locks").read_text())
    held = {how for how, process, inode in locks if inode in inodes and process in judges}
    return "alone" if "WRITE" in held else "together" if held else "nobody"


def published_speedup(row: dict[str, Any], published: dict[tuple[str, str], float | None]) -> float | None:
    """The published speed-up of the program that a row is of; extraction may have moved its white space."""
    exact = published.get((row["task"], row["source_sha256"] or ""))
    if exact is not None:
        return exact
    of_task = [value for (task, _), value in published.items() if task == row["task"]]
    return of_task[0] if len(of_task) == 1 else None


def ask_peer(corpus: Corpus, tasks: Sequence[Task], rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> int:
    """Add ``peer``, ``peer_reason``, ``peer_speedup`` and ``peer_seconds`` to rows until time is over; how many.

    Every row gets ``builds``: whether its candidate may build an extension, which is most of the peer's time.
    """
    by_id = {task.id: task for task in tasks}
    by_task: dict[str, list[Candidate]] = {}
    for candidate in corpus.candidates:
        by_task.setdefault(candidate.task, []).append(candidate)
    sources = [by_task[by_id[row["task"]].short_id][row["index"]].source for row in rows]
    for row, source in zip(rows, sources, strict=True):
        row["builds"] = uses_extensions(source)
    order = list(zip(rows, sources, strict=True))
    random.Random(options.seed).shuffle(order)
    started, asked = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        for row, source in order:
            if time.monotonic() - started > options.peer_limit_s:
                break
            result = kernelbench_peer.evaluate(
                options.peer,
                reference=by_id[row["task"]].source,
                candidate=source,
                backend="triton" if "@triton.jit" in source else "cuda",
                build_dir=Path(folder, str(asked)),
            )
            asked += 1
            row.update(peer=result.verdict, peer_reason=result.reason, peer_speedup=result.speedup)
            row.update(peer_seconds=result.seconds)
            print(f"  peer: {row['task']} #{row['index']} {result.verdict}, {result.seconds:.1f} s", flush=True)
    return asked


def kind_of(row: dict[str, Any]) -> str:
    """How a candidate was judged, in the words that a table can be grouped by."""
    because = row.get("draw") or ", ".join(row.get("flags") or ()) or ""
    return f"{row['outcome']} {because}".strip()


def throughput_lines(judged: Judged) -> list[str]:
    """Candidates a minute from the begin of the session to the last verdict, and how the device was used."""
    rows, span = judged.rows, judged.arrivals[-1]
    looks = max(1, judged.holds.total())
    held = {how: count / looks for how, count in judged.holds.items()}
    building = [row["seconds"]["build"] for row in rows if row["seconds"].get("build")]
    trials = [sum(row["seconds"].get(stage, 0.0) for stage in ON_DEVICE) for row in rows]
    return [
        f"judged {len(rows)} in {span:.0f} s: {60 * len(rows) / span:.1f} a minute",
        f"device in use {1 - held.get('nobody', 0.0):.0%} of the time from the first verdict on, "
        f"for one candidate alone {held.get('alone', 0.0):.0%}; median trial {median(trials):.2f} s",
        "seconds by stage, of all: "
        + ", ".join(
            f"{stage} {sum(row['seconds'].get(stage, 0.0) for row in rows):.0f}" for stage in (*ON_DEVICE, "wait")
        ),
        f"{len(building)} had something built, median {median(building):.1f} s" if building else "nothing was built",
    ]


def peer_lines(judged: Judged) -> list[str]:
    """The peer's pace on the same candidates, and every verdict that differs.

    The pace depends on how many of the few have an extension to build, so it is also told at their share of all.
    """
    rows = judged.rows
    asked = [row for row in rows if "peer" in row]
    if not asked:
        return []
    peer_each = mean(row["peer_seconds"] for row in asked)
    ours_each = judged.arrivals[-1] / len(rows)
    apart = [row for row in asked if (row["outcome"] == "correct") != (row["peer"] == "correct")]
    lines = [
        f"peer: {60 / peer_each:.1f} a minute on {len(asked)} of them; here {peer_each / ours_each:.1f} times as many",
    ]
    shares = Counter(row["builds"] for row in rows)
    seconds = {builds: [row["peer_seconds"] for row in asked if row["builds"] == builds] for builds in shares}
    if all(seconds.values()):
        at_share = sum(shares[builds] * mean(some) for builds, some in seconds.items()) / len(rows)
        lines.append(
            f"  {len(seconds.get(True, []))} of these may build an extension, and {shares[True]} of all {len(rows)}; "
            f"at that share here {at_share / ours_each:.1f} times as many"
        )
    lines.append(f"verdicts agree on {len(asked) - len(apart)} of {len(asked)}")
    kinds = Counter((kind_of(row), row["peer"]) for row in apart)
    lines += [f"  {count:3} here {here}; peer {peer}" for (here, peer), count in kinds.most_common()]
    for row in apart:
        lines.append(f"  {row['task']} #{row['index']}: here {row['outcome']}: {row['detail'][:200]}")
        lines.append(f"    peer {row['peer']} {row['peer_speedup'] or ''}: {row['peer_reason'][:160]}")
    return lines


def published_lines(rows: Sequence[dict[str, Any]], margin: float) -> list[str]:
    """Of the published speed-ups over 1, how many are correct, raw over 1 and verified here; geometric means."""
    claimed = [(row, Evaluation.from_json(row)) for row in rows if (row["published"] or 0) > 1]
    if not claimed:
        return []
    correct = [(row, each) for row, each in claimed if each.counted_speedup is not None]
    lines = [
        f"published as faster: {len(claimed)}; correct here {len(correct)}, "
        f"raw over 1 {sum(each.fast_raw() for _, each in correct)}, "
        f"verified {sum(each.fast(margin=margin) for _, each in correct)}"
    ]
    for what, values in (
        ("published, all", [row["published"] for row, _ in claimed]),
        ("published, of the correct", [row["published"] for row, _ in correct]),
        ("here, of the correct", [each.counted_speedup for _, each in correct]),
        ("here over published", [each.counted_speedup / row["published"] for row, each in correct]),
    ):
        lines.append(f"  geometric mean {what}: {geometric_mean([each for each in values if each])}")
    return lines


def geometric_mean(values: Sequence[float]) -> str:
    """With Student's interval on the logarithms, over kernels."""
    if len(values) < 2:
        return "of fewer than two"
    logs = [math.log(value) for value in values]
    half = float(stdtrit(len(logs) - 1, 0.975)) * stdev(logs) / len(logs) ** 0.5
    low, centre, high = (math.exp(mean(logs) + shift) for shift in (-half, 0.0, half))
    return f"{centre:.2f}x [{low:.2f}, {high:.2f}] (n = {len(logs)})"


def report(judged: Judged, margin: float) -> list[str]:
    """All tables of one corpus."""
    rows = judged.rows
    kinds = Counter(kind_of(row) for row in rows)
    verdicts = [f"  {count:4} {kind}" for kind, count in kinds.most_common()]
    uncounted = Counter(row["uncounted_because"].partition(":")[0] for row in rows if row.get("counted") is False)
    verdicts += [f"  {count:4} correct, a claim not counted: {why}" for why, count in uncounted.most_common()]
    return [
        *throughput_lines(judged),
        *verdicts,
        *published_lines(rows, margin),
        *peer_lines(judged),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", type=Path, metavar="CHECKOUT")
    parser.add_argument("--peer", type=Path, metavar="CHECKOUT", help="a KernelBench checkout")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--gpu", default="h100", help="which file of published kernels")
    parser.add_argument("--levels", default="1,2", help="of published kernels")
    parser.add_argument("--tasks", default="level1:eval", help="for which sampled kernels are taken")
    parser.add_argument("--sizes", default="full", choices=["full", "small"])
    parser.add_argument("--protocol", default="fast")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--margin", type=float, default=0.02, help="of the protocol on this device")
    parser.add_argument("--most", type=int, help="tasks of each corpus, at random")
    parser.add_argument("--limit-s", type=float, default=math.inf, help="stop judging a corpus after so long")
    parser.add_argument("--peer-limit-s", type=float, default=300.0, help="for each corpus")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="append one row a candidate")
    parser.add_argument("--log", type=Path, help="append what pytest printed")
    parser.add_argument("--pytest", default="", type=str.split, help="further arguments to pytest, such as '-n 4'")
    options = parser.parse_args()
    if options.peer is not None:
        kernelbench_peer.loading_s(options.peer)
    for checkout in options.corpora:
        corpus = read_corpus(
            checkout, gpu=options.gpu, levels=[int(each) for each in options.levels.split(",")], tasks=options.tasks
        )
        with tempfile.TemporaryDirectory(prefix="corpus-") as name:
            folder = Path(name)
            tasks = corpus.loaded_tasks(folder, options.sizes)
            if options.most is not None and options.most < len(tasks):
                tasks = random.Random(options.seed).sample(tasks, options.most)
                kept = {task.short_id for task in tasks}
                corpus.candidates[:] = [each for each in corpus.candidates if each.task in kept]
            print(f"\n{corpus.name}: {len(corpus.candidates)} candidates for {len(tasks)} tasks", flush=True)
            judged = judge(corpus, tasks, folder, options)
            rows = judged.rows
            if options.json is not None:
                # Before the peer is asked, which may take longer than there is time.
                with options.json.open("a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)
            if options.peer is not None:
                print("\n".join(throughput_lines(judged)), flush=True)
                ask_peer(corpus, tasks, rows, options)
            print("\n".join(report(judged, options.margin)), flush=True)
            if options.log is not None:
                with options.log.open("a") as file:
                    file.write(judged.log)


if __name__ == "__main__":
    main()
