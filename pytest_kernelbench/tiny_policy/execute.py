"""Run every template of the corpus on this machine, and report where its label is wrong.

    python -m pytest_kernelbench.tiny_policy.execute --device cpu --tasks 19,20 --json rows.json

Kernels are compiled in parallel first. Templates run in worker processes that are restarted after a crash or a
hang, which costs that one template. Prints a table of surprises and exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytest_kernelbench import inline
from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.tasks import load_tasks, with_sizes
from pytest_kernelbench.tiny_policy.corpus import MEASURED, all_templates, written_templates
from pytest_kernelbench.tiny_policy.corpus.base import Template

FAST = 1.05
FASTER_THAN_PLAIN = 1.3
SLOW = 0.8
TIMEOUT_S = 60.0
START_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Result of running one source of a template; ``speedup`` is None if it was not correct or not timed."""

    template: str
    variant: int
    language: str
    pace: str
    correct: bool
    ok: bool
    detail: str
    speedup: float | None
    reference_ms: float | None
    candidate_ms: float | None
    seconds: float

    @property
    def surprise(self) -> str:
        """How the label is wrong; empty where it is right."""
        if self.correct and not self.ok:
            return "correct, but fails"
        if not self.correct and self.ok:
            return "wrong, but passes"
        if self.speedup is not None and self.pace == "fast" and self.speedup < FAST:
            return f"fast, but under {FAST}x"
        if self.speedup is not None and self.pace != "fast" and self.speedup > FASTER_THAN_PLAIN:
            return f"{self.pace}, but over {FASTER_THAN_PLAIN}x"
        return ""


def relabel(rows: Iterable[Row]) -> int:
    """Write the paces that ``rows`` contradict into ``measured.json``; how many labels that changed.

    Only a template's first source counts. A row without a surprise leaves its label as it is.
    """
    written = {template.id: template.pace for template in written_templates()}
    measured = json.loads(MEASURED.read_text())
    changed = 0
    for row in rows:
        if row.speedup is None or row.variant != 0 or not row.surprise or row.template not in written:
            continue
        pace = "fast" if row.speedup >= FAST else "plain" if row.speedup >= SLOW else "slow"
        changed += 1
        measured[row.template] = pace
    kept = {name: pace for name, pace in measured.items() if name in written and written[name] != pace}
    MEASURED.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    return changed


def task_sources(sizes: str, numbers: Collection[int]) -> dict[int, str]:
    """Text of each level-1 task with ``full`` or ``small`` sizes, by number."""
    tasks = load_tasks([f"level1/{number}" for number in numbers], sizes=sizes)
    return {int(task.short_id.rpartition("/")[2]): with_sizes(task.source, task.sizes) for task in tasks}


def kernel_source(module: str) -> tuple[str, str] | None:
    """Language and text of the kernel that a module compiles, or None if it compiles none."""
    for node in ast.walk(ast.parse(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            language = {"compile_c": "c", "compile_cuda": "cuda"}.get(node.func.id)
            source = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            if language is not None and isinstance(source, str):
                return language, source
    return None


class Worker:
    """A worker process and its last words; restarted for the next request when it died or was killed."""

    def __init__(self, device: str, builds: Path, timeout_s: float) -> None:
        self._command = [sys.executable, "-m", "pytest_kernelbench.tiny_policy.worker", device, str(builds)]
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[str] | None = None

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The worker's answer; ``ok`` False with the reason when there was none."""
        process = self._alive()
        assert process.stdin is not None
        try:
            print(json.dumps(request), file=process.stdin, flush=True)
            line, timed_out = self._line(process, self._timeout_s)
        except BrokenPipeError:
            line, timed_out = "", False
        if line:
            return dict(json.loads(line))
        self.close()
        reason = f"no answer in {self._timeout_s:.0f} s" if timed_out else f"worker died, exit {process.returncode}"
        return {"ok": False, "detail": reason, "speedup": None, "reference_ms": None, "candidate_ms": None}

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _alive(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            # Importing torch takes seconds, which are not the template's.
            if not self._line(self._process, START_TIMEOUT_S)[0]:
                raise HarnessError(f"template worker: did not start; run {' '.join(self._command)} to see why")
        return self._process

    @staticmethod
    def _line(process: subprocess.Popen[str], timeout_s: float) -> tuple[str, bool]:
        """The next line, empty if the process died or was killed; and whether it was killed for its time."""
        assert process.stdout is not None
        killer = threading.Timer(timeout_s, process.kill)
        killer.start()
        try:
            line = process.stdout.readline()
        finally:
            timed_out = killer.finished.is_set()
            killer.cancel()
        return line, timed_out


def build_all(modules: Iterable[str], folder: Path, jobs: int) -> None:
    """Compile every kernel into ``folder``; a kernel that does not compile fails later, when it is used."""

    def build(kernel: tuple[str, str]) -> None:
        try:
            inline.build(kernel[1], kernel[0], folder)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"build failed: {str(error)[:300]}", file=sys.stderr)

    kernels = {kernel for module in modules if (kernel := kernel_source(module)) is not None}
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(build, sorted(kernels)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How templates are run: ``jobs`` workers, each template's first source or every variant, timed or checked only.

    A template has ``timeout_s`` seconds.
    """

    device: str
    sizes: str
    jobs: int = 1
    every_variant: bool = False
    timed: bool = True
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Item:
    """Source number ``variant`` of a template."""

    template: Template
    variant: int
    source: str


def run(templates: Sequence[Template], plan: Plan) -> Iterator[Row]:
    """Rows in the order in which they are ready. Workers take turns on the device, so that timings are undisturbed."""
    tasks = task_sources(plan.sizes, sorted({template.task for template in templates}))
    picked = [
        Item(template, index, source)
        for template in templates
        for index, source in enumerate(template.sources if plan.every_variant else template.sources[:1])
    ]
    with tempfile.TemporaryDirectory(prefix="tiny-policy-") as scratch:
        builds = Path(scratch, "builds")
        builds.mkdir()
        build_all((item.source for item in picked), builds, os.cpu_count() or 1)
        # One task's templates go to one worker, which keeps the inputs and the reference's output.
        by_task: queue.SimpleQueue[list[Item]] = queue.SimpleQueue()
        for number in tasks:
            by_task.put([item for item in picked if item.template.task == number])
        rows: queue.SimpleQueue[Row | BaseException | None] = queue.SimpleQueue()

        def work(name: int) -> None:
            worker = Worker(plan.device, builds, plan.timeout_s)
            try:
                for position, item in enumerate(_items_of(by_task)):
                    module = Path(scratch, f"candidate_{name}_{position}.py")
                    rows.put(_row_of(item, worker, module, tasks[item.template.task], timed=plan.timed))
            except BaseException as error:
                rows.put(error)
            finally:
                worker.close()
                rows.put(None)

        for name in range(plan.jobs):
            threading.Thread(target=work, args=(name,)).start()
        yield from _until_all_ended(rows, plan.jobs)


def _items_of(by_task: queue.SimpleQueue[list[Item]]) -> Iterator[Item]:
    """Items of one task after another, as long as there are tasks that no worker has taken."""
    while True:
        try:
            items = by_task.get_nowait()
        except queue.Empty:
            return
        yield from items


def _row_of(item: Item, worker: Worker, module: Path, task_source: str, *, timed: bool) -> Row:
    """Have ``worker`` run an item, whose source is written to the file ``module``."""
    module.write_text(item.source)
    template = item.template
    started = time.perf_counter()
    answer = worker.ask({"task_source": task_source, "module": str(module), "time": timed and template.correct})
    return Row(
        template=template.id,
        variant=item.variant,
        language=template.language,
        pace=template.pace,
        correct=template.correct,
        seconds=time.perf_counter() - started,
        **answer,
    )


def _until_all_ended(rows: queue.SimpleQueue[Row | BaseException | None], workers: int) -> Iterator[Row]:
    """Rows until every worker has put None; an error of a worker is raised here."""
    while workers:
        row = rows.get()
        if row is None:
            workers -= 1
        elif isinstance(row, BaseException):
            raise row
        else:
            yield row


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pytest_kernelbench.tiny_policy.execute")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--tasks", help="task numbers, comma-separated (default: all)")
    parser.add_argument("--strategy", help="only templates whose id contains this")
    parser.add_argument("--sizes", choices=("small", "full"), help="default: full on cuda, small on cpu")
    parser.add_argument("--jobs", type=int, help="workers at a time (default: 2 on cuda, 1 on cpu)")
    parser.add_argument("--all", action="store_true", help="every nuisance variant, not only the first")
    parser.add_argument("--no-timing", action="store_true")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument(
        "--relabel",
        type=Path,
        metavar="FILE",
        help="run nothing: take the paces from the --json of an earlier run",
    )
    options = parser.parse_args(arguments)

    if options.relabel is not None:
        changed = relabel(Row(**row) for row in json.loads(options.relabel.read_text()))
        print(f"{changed} labels changed in {MEASURED}")
        return 0
    numbers = {int(number) for number in options.tasks.split(",")} if options.tasks else None
    templates = [
        template
        for template in all_templates()
        if template.target == options.device
        and (numbers is None or template.task in numbers)
        and (options.strategy is None or options.strategy in template.id)
    ]
    started = time.perf_counter()
    rows = []
    plan = Plan(
        device=options.device,
        sizes=options.sizes or ("full" if options.device == "cuda" else "small"),
        jobs=options.jobs or (2 if options.device == "cuda" else 1),
        every_variant=options.all,
        timed=not options.no_timing,
        timeout_s=options.timeout,
    )
    for row in run(templates, plan):
        rows.append(row)
        if options.json is not None and len(rows) % 25 == 0:
            _write(rows, options.json)
        speedup = "      " if row.speedup is None else f"{row.speedup:5.2f}x"
        mark = "ok   " if row.ok else "fails"
        print(f"{mark} {speedup} {row.pace:5} {row.template}#{row.variant} {row.detail[:110]}", flush=True)
    if options.json is not None:
        _write(rows, options.json)
    surprises = [row for row in rows if row.surprise]
    print(f"\n{len(rows)} sources in {time.perf_counter() - started:.0f} s, {len(surprises)} surprises")
    for row in sorted(surprises, key=lambda row: (row.surprise, row.template)):
        speedup = "" if row.speedup is None else f"{row.speedup:.2f}x of {row.reference_ms:.2f} ms"
        print(f"  {row.surprise:24} {row.template}#{row.variant} {speedup} {row.detail[:160]}")
    return 1 if surprises else 0


def _write(rows: Sequence[Row], file: Path) -> None:
    # Written while it runs: an interrupted run leaves its results.
    file.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
