"""A server under load while its judges are killed: is every request answered once, how fast, and what is left behind.

    python benchmarks/serving.py --requests 1000 --clients 50 --judges 4 --kill-every-s 10 --json serving.jsonl

Starts ``python -m pytest_kernelbench serve`` on this machine with CPU judges. Each client asks for one source after
another, over HTTP, as a trainer's worker does; all sources differ. The tasks are elementwise ones of level 1 at small
sizes, the sources what an early policy writes: of ten six do not run, three are wrong, one is correct. Meanwhile a
judge is killed every ``--kill-every-s``, in turns the Ray actor, the service below it that forks, and below that the
judge's own process and the foreman, which builds ahead. Where the harness answers that a judge ended over a source
twice, the client asks again, as the documentation says.

Every line of every answer is kept in ``--json`` as it comes. At the end: requests without exactly one evaluation (must
be 0), with an evaluation of another source, whose outcome is not the one that the source was written for; latency
from a client's first question to its evaluation; sources a minute; kills; the server's memory, at the begin and in each
quarter of the run; processes that are left once the server has stopped. After ``--limit-s`` no client asks for anything
new; the same command with the same ``--json`` starts another server and goes on with what has no evaluation. Then
requests that are malformed, too large and without the token, with the answers that they get.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import random
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from results import Limit
from served import MIB, Server

from pytest_kernelbench.records import Task, sha256_of
from pytest_kernelbench.tasks import load_tasks

TASKS = "level1/19,level1/20,level1/21,level1/22,level1/25,level1/30"


@dataclass(frozen=True, slots=True)
class Asked:
    """One source to be judged, and the outcome that it was written for."""

    number: int
    task: Task
    source: str
    expected: str


def made_sources(count: int, seed: int) -> list[Asked]:
    """Sources that all differ, in random order over tasks and outcomes."""
    tasks = load_tasks(TASKS, sizes="small")
    made = []
    for number in range(count):
        task = tasks[number % len(tasks)]
        head = f"{task.source}\n\n\nclass ModelNew(Model):\n    number = {number}\n\n    def forward(self, *inputs):\n"
        kind = number // len(tasks) % 10
        if kind == 0:
            made.append(Asked(number, task, f"{head}        return super().forward(*inputs)\n", "correct"))
        elif kind < 4:
            body = f"        return super().forward(*inputs) + {0.5 + number / count}\n"
            made.append(Asked(number, task, head + body, "incorrect"))
        else:
            made.append(Asked(number, task, f"{head}        return inputs[{number + 9}]\n", "runtime_error"))
    random.Random(seed).shuffle(made)
    return made


class Log:
    """A file of JSON lines: each row is appended as soon as it is known, behind the rows of earlier runs."""

    def __init__(self, path: Path | None) -> None:
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self._file = None if path is None else path.open("a")
        self._lock = threading.Lock()

    def add(self, **row: Any) -> None:
        with self._lock:
            self.rows.append(row)
            if self._file is not None:
                self._file.write(json.dumps(row) + "\n")
                self._file.flush()

    def spent_s(self) -> float:
        """Seconds under load, of all runs together."""
        at_s = [row["at_s"] for row in self.rows if "memory" in row]
        ends = [now for now, later in zip(at_s, [*at_s[1:], 0.0], strict=True) if later < now]
        return sum(ends)


def ask(server: Server, asked: Asked, log: Log) -> None:
    """Ask until the source has an evaluation; each line of each answer is a row."""
    task = {"id": asked.task.id, "source": asked.task.source, "sizes": dict(asked.task.sizes)}
    body = json.dumps({"task": task, "sources": [asked.source]}).encode()
    started = time.monotonic()
    for attempt in range(1, 10):
        try:
            status, text = server.answer("/v1/evaluate", body, server.token)
        except (OSError, http.client.HTTPException) as error:
            log.add(number=asked.number, attempt=attempt, broken=str(error))
            time.sleep(0.5)
            continue
        again = False
        for line in text.splitlines():
            row = json.loads(line) if status == 200 else {"refused": f"{status} {line}"}
            again |= bool(row.get("judge_ended"))
            if evaluation := row.pop("evaluation", None):
                row["outcome"] = evaluation["outcome"]
                row["own"] = evaluation["source_sha256"] == sha256_of(asked.source)
                row["as_expected"] = evaluation["outcome"] == asked.expected
                row["detail"] = evaluation["detail"]
                row["seconds"] = evaluation["seconds"]
            log.add(number=asked.number, attempt=attempt, latency_s=time.monotonic() - started, **row)
        if not again:
            return


def kill_judges(server: Server, every_s: float, over: threading.Event, log: Log) -> None:
    """Kill in turns an actor and a service, of which no process must be left, a judge's process and a foreman."""
    turns = 0
    while not over.wait(every_s):
        what, found = list(server.judges().items())[turns % 4]
        if found:
            chosen = random.choice(found)
            chosen.kill()
            log.add(killed=what, pid=chosen.pid)
        turns += 1


def load(server: Server, work: list[Asked], options: argparse.Namespace, log: Log) -> None:
    """Have all clients ask for all that there is, until the limit."""
    queue: Queue[Asked] = Queue()
    limit = Limit(options.limit_s)
    for each in work:
        queue.put(each)

    def client() -> None:
        while not limit.over:
            try:
                ask(server, queue.get_nowait(), log)
            except Empty:
                return

    over = threading.Event()
    killer = threading.Thread(target=kill_judges, args=(server, options.kill_every_s, over, log), daemon=True)
    clients = [threading.Thread(target=client, daemon=True) for _ in range(options.clients)]
    for thread in (killer, *clients):
        thread.start()
    while any(thread.is_alive() for thread in clients):
        log.add(memory=server.memory_mib(), cpu_s=server.cpu_seconds(), at_s=limit.spent_s, left=queue.qsize())
        time.sleep(10)
    log.add(memory=server.memory_mib(), cpu_s=server.cpu_seconds(), at_s=limit.spent_s, left=queue.qsize())
    over.set()
    killer.join()


def refusals(server: Server) -> list[str]:
    """What is no request, and the answer that it gets."""
    told = []
    for name, body, token in (
        ("no token", b"{}", None),
        ("wrong token", b"{}", "guess"),
        ("no JSON", b"{", server.token),
        ("no sources", b'{"task": "level1/19"}', server.token),
        ("no such task", b'{"task": "level1/1000", "sources": []}', server.token),
        ("17 MiB", b" " * (17 * MIB), server.token),
        ("a source that is no list", b'{"task": "level1/19", "sources": "import torch"}', server.token),
        ("an unknown field", b'{"task": "level1/19", "sources": [], "model": "x"}', server.token),
        ("300 sources", json.dumps({"task": "level1/19", "sources": ["x"] * 300}).encode(), server.token),
        (
            "a task of 2 MiB",
            json.dumps({"task": {"id": "a/b", "source": "#" * 2 * MIB}, "sources": []}).encode(),
            server.token,
        ),
        ("a source of 2 MiB", json.dumps({"task": "level1/19", "sources": ["x" * 2 * MIB]}).encode(), server.token),
    ):
        status, text = server.answer("/v1/evaluate", body, token)
        told.append(f"{name}: {status} {text}")
    return told


def summary(made: list[Asked], log: Log) -> list[str]:
    asked = {row["number"] for row in log.rows if "number" in row}
    work, spent_s = [each for each in made if each.number in asked], log.spent_s()
    answers = Counter(row["number"] for row in log.rows if "outcome" in row)
    ended = Counter(row["number"] for row in log.rows if "done" in row)
    asked_again = Counter(row["attempt"] for row in log.rows if row.get("judge_ended"))
    latencies = sorted(row["latency_s"] for row in log.rows if "outcome" in row)
    quantiles = statistics.quantiles(latencies, n=100)
    not_once = [each.number for each in work if answers[each.number] != 1]
    foreign = [row["number"] for row in log.rows if row.get("own") is False]
    unexpected = [row for row in log.rows if row.get("as_expected") is False]
    kills = Counter(row["killed"] for row in log.rows if "killed" in row)
    memory = [row["memory"] for row in log.rows if "memory" in row]
    others = [row for row in log.rows if "broken" in row or "refused" in row]
    return [
        f"requests {len(work)} of {len(made)}, without exactly one evaluation {len(not_once)} {not_once[:5]}, "
        f"evaluated for another source {len(foreign)}, answers without an end {len(answers - ended)}",
        f"outcomes {dict(Counter(row['outcome'] for row in log.rows if 'outcome' in row))}, "
        f"another than written for {len(unexpected)} {[(row['number'], row['outcome']) for row in unexpected[:5]]}",
        f"kills {dict(kills)}; asked again after two judges had died {sum(asked_again.values())}; "
        f"connections broken or refused {len(others)} {others[:2]}",
        f"{spent_s:.0f} s, {60 * len(work) / spent_s:.1f} a minute; latency median {quantiles[49]:.1f} s, "
        f"90 % {quantiles[89]:.1f} s, 99 % {quantiles[98]:.1f} s, most {latencies[-1]:.1f} s",
        "memory of the process that answers, of the judges, of all (MiB); at first, and the most in each quarter: "
        + "; ".join(
            ", ".join(f"{max(each[part] for each in some):.0f}" for part in ("answering", "judging", "all"))
            for some in (memory[:1], *quarters(memory))
        ),
    ]


def quarters(rows: list[Any]) -> list[list[Any]]:
    """The rows in four parts, in order; fewer where there are fewer rows."""
    bounds = [len(rows) * part // 4 for part in range(5)]
    return [rows[begin:end] for begin, end in itertools.pairwise(bounds) if begin < end]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--judges", type=int, default=4)
    parser.add_argument("--kill-every-s", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-s", type=float, default=None)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    # A signal that ends the benchmark ends its server as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    log = Log(options.json)
    made = made_sources(options.requests, options.seed)
    done = {row["number"] for row in log.rows if "outcome" in row}
    server = Server(options.judges)
    left: list[str] = []
    try:
        load(server, [each for each in made if each.number not in done], options, log)
        lines = [*summary(made, log), *refusals(server)]
        lines += [line for line in server.answer("/metrics", None, server.token)[1].splitlines() if "_total" in line]
    finally:
        left = server.stop()
    for line in [*lines, f"processes left: {len(left)} {left[:3]}"]:
        print(line, flush=True)


if __name__ == "__main__":
    main()
