"""The run folder: every stage's records, appended as they come, so that a killed run goes on where it was.

One JSON object a line; a record is one write under a lock, so processes may share a folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.records import AdaptationStep, Completion, Evaluation, Forecast, Selection, Task
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.tasks.findings import TaskFindings

Row = dict[str, Any]

# What each table's rows are looked up by.
TABLES = {
    **dict.fromkeys(
        (
            "completions",
            "evaluations",
            "confirmations",
            "null",
            "selections",
            "comparisons",
            "faults",
            "tasks",
            "forecasts",
        ),
        "task",
    ),
    "adaptation": "lineage",
}
MUST_MATCH = {
    "policy": "--policy",
    "seed": "--kernelbench-seed",
    "device_kind": "--kernelbench-device",
    "sizes": "--kernelbench-sizes",
    "primary": "--kernelbench-primary",
}


class Table:
    """One append-only JSONL file. Rows stay on disk: only where those of each ``key`` lie is kept in memory."""

    def __init__(self, path: Path, key: str = "task") -> None:
        self.path = path
        self.key = key
        self._read_to = 0
        self._lines = 0
        self._places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        # What comes next is drawn in a thread of its own.
        self._reading = threading.Lock()

    def rows(self, of: str) -> list[Row]:
        """Of one task, or lineage, so far, other processes' included; UsageError for a line that is no record."""
        if not self.path.exists():
            return []
        with self._reading, self.path.open("rb") as stream:
            self._catch_up(stream.fileno())
            return [json.loads(os.pread(stream.fileno(), size, start)) for start, size in self._places[of]]

    def append(self, row: Mapping[str, Any]) -> None:
        """Record ``row``. Raises HarnessError where it cannot be written."""
        try:
            line = json.dumps(row, allow_nan=False).encode() + b"\n"
        except ValueError as error:
            raise HarnessError(f"{self.path}: a record of {row[self.key]} is not JSON ({error})") from error
        with _locked(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT) as file:
            self._cut_torn_line(file)
            end = os.fstat(file).st_size
            try:
                written = os.write(file, line)
                reason = "disk full"
            except OSError as error:
                written, reason = 0, str(error.strerror)
            if written != len(line):
                os.ftruncate(file, end)
                raise HarnessError(f"{self.path}: cannot be written ({reason}); make room and run again to resume")

    def repair(self) -> str | None:
        """Cut off a last line that was not finished; the line that says so, or None."""
        if not self.path.exists():
            return None
        with _locked(self.path, os.O_RDWR) as file:
            cut = self._cut_torn_line(file)
            self._catch_up(file)
        if not cut:
            return None
        return f"{self.path}:{self._lines + 1}: cut off a record that was not finished; it is made again"

    def _cut_torn_line(self, file: int) -> bool:
        # Else the next record would be glued to the torn one, and both were lost.
        end = os.fstat(file).st_size
        if end == 0 or os.pread(file, 1, end - 1) == b"\n":
            return False
        start = end
        while start > 0:
            step = min(start, 65536)
            newline = os.pread(file, step, start - step).rfind(b"\n")
            start = start - step + newline + 1 if newline >= 0 else start - step
            if newline >= 0:
                break
        os.ftruncate(file, start)
        return True

    def _catch_up(self, file: int) -> None:
        with os.fdopen(os.dup(file), "rb") as stream:
            stream.seek(self._read_to)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                try:
                    of = json.loads(line)[self.key]
                except (ValueError, KeyError, TypeError):
                    place = f"{self.path}:{self._lines + 1}"
                    raise UsageError(f"{place}: not a record; remove the line, or start another run") from None
                self._places[of].append((self._read_to, len(line)))
                self._read_to += len(line)
                self._lines += 1


class Ledger:
    """A run folder as the pipeline sees it. ``warnings`` are lines for people."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[str] = []
        self._tables = {name: Table(folder / f"{name}.jsonl", key) for name, key in TABLES.items()}

    @classmethod
    def open(cls, folder: Path, run: Mapping[str, Any]) -> Ledger:
        """The folder for ``run`` (what ``run.json`` is to hold), made now or resumed.

        Raises UsageError where the folder cannot be made, or holds a run that was set up differently.
        """
        self = cls(folder)
        try:
            (folder / "locks").mkdir(parents=True, exist_ok=True)
            _probe(folder)
        except OSError as error:
            raise UsageError(
                f"{folder}: cannot hold a run ({error.strerror}); name another folder with --kernelbench-run"
            ) from error
        with self._run_locked():
            recorded = read_run(folder)
            if recorded is None:
                _write_atomically(folder / "run.json", dict(run))
            else:
                _write_atomically(folder / "run.json", _joined(folder, recorded, run))
        self.warnings += [warning for table in self._tables.values() if (warning := table.repair())]
        return self

    def note(self, **facts: Any) -> None:
        """Put facts that a number depends on into ``run.json``; raises UsageError where another was recorded."""
        with self._run_locked():
            run = read_run(self.folder) or {}
            for key, value in facts.items():
                if run.get(key) not in (None, value):
                    raise UsageError(
                        f"{self.folder}: was made with {key} {run[key]}, and now it is {value}; "
                        "start another run with --kernelbench-run"
                    )
            _write_atomically(self.folder / "run.json", {**run, **facts})

    def remark(self, about: str, line: str) -> None:
        """Put a line for people into ``run.json``, which every report repeats: the last one ``about`` a thing."""
        with self._run_locked():
            run = read_run(self.folder) or {}
            _write_atomically(self.folder / "run.json", {**run, "remarks": {**run.get("remarks", {}), about: line}})

    def keep(self, table: str, key: str, value: Mapping[str, Any]) -> bool:
        """Put ``value`` under ``table`` and ``key`` of ``run.json`` unless something is there; whether it was put."""
        with self._run_locked():
            run = read_run(self.folder) or {}
            held = run.setdefault(table, {})
            if key in held:
                return False
            held[key] = dict(value)
            _write_atomically(self.folder / "run.json", run)
        return True

    def describe(self, machine: Mapping[str, Any]) -> None:
        """Put what is known of the machine into ``run.json``, under ``machine``: the last one to join counts."""
        with self._run_locked():
            _write_atomically(self.folder / "run.json", {**(read_run(self.folder) or {}), "machine": machine})

    def spend(self, stage: str, seconds: float) -> None:
        """Add to what ``run.json`` says a stage took, over all processes and resumptions."""
        with self._run_locked():
            run = read_run(self.folder) or {}
            spent = run.get("seconds", {})
            spent[stage] = round(spent.get(stage, 0.0) + seconds, 3)
            _write_atomically(self.folder / "run.json", {**run, "seconds": spent})

    @contextmanager
    def sole_owner(self, task: str) -> Iterator[None]:
        """Hold ``task`` against other processes, so that its samples are drawn once."""
        with _locked(self._lock_of(task), os.O_RDWR | os.O_CREAT):
            yield

    @contextmanager
    def owner_if_free(self, task: str) -> Iterator[bool]:
        """As ``sole_owner``, without waiting: whether ``task`` is held for the block, or another process holds it."""
        with _locked(self._lock_of(task), os.O_RDWR | os.O_CREAT, wait=False) as file:
            yield file >= 0

    def _lock_of(self, task: str) -> Path:
        return self.folder / "locks" / task.replace("/", "--")

    def completions(self, task: str, strategy: Strategy) -> dict[int, Completion]:
        """Those of the strategy's candidates that are recorded, by index."""
        found = {}
        drawn_from, indices = strategy.sampling_sha256, strategy.indices
        for row in self._tables["completions"].rows(task):
            if row["sampling_sha256"] == drawn_from and row["index"] in indices:
                found[row["index"]] = Completion.from_json(row)
        return found

    def add_completion(self, completion: Completion, strategy: Strategy) -> None:
        row = {**completion.to_json(), "sampling_sha256": strategy.sampling_sha256}
        self._tables["completions"].append(row)

    def judged_indices(self, task: str, strategy: Strategy) -> set[int]:
        """Indices of the strategy's completions that have a row in ``evaluations.jsonl``."""
        rows = self._tables["evaluations"].rows(task)
        hashes = (strategy.sampling_sha256, strategy.evaluation_sha256)
        return {row["index"] for row in rows if (row["sampling_sha256"], row["evaluation_sha256"]) == hashes}

    def evaluations(self, task: str, strategy: Strategy, table: str = "evaluations") -> dict[str | None, Evaluation]:
        """By hash of the source, under the strategy's way to judge, whichever strategy they were made for."""
        return {
            row["source_sha256"]: Evaluation.from_json(row)
            for row in self._tables[table].rows(task)
            if row["evaluation_sha256"] == strategy.evaluation_sha256
        }

    def add_evaluation(
        self,
        task: str,
        index: int | None,
        strategy: Strategy,
        evaluation: Evaluation,
        table: str = "evaluations",
    ) -> None:
        """``index`` is None for the reference in ``null.jsonl``."""
        hashes = {
            "sampling_sha256": strategy.sampling_sha256 if index is not None else None,
            "evaluation_sha256": strategy.evaluation_sha256,
        }
        self._tables[table].append({"task": task, "index": index, **evaluation.to_json(), **hashes})

    def add_fault(self, task: str, source_sha256: str | None, strategy: Strategy, error: HarnessError) -> None:
        """Keep how the harness failed while it judged a source (None: the task). It is tried again when resumed."""
        row = {"task": task, "source_sha256": source_sha256, "evaluation_sha256": strategy.evaluation_sha256}
        self._tables["faults"].append({**row, "message": str(error), "traceback": error.traceback})

    def add_findings(self, findings: TaskFindings, strategy: Strategy) -> None:
        """Keep what was found out about a task's reference, once for each way to judge."""
        rows = self._tables["tasks"].rows(findings.task)
        row = {**findings.to_json(), "evaluation_sha256": strategy.evaluation_sha256}
        known = ((each["evaluation_sha256"], each["task_sha256"], each["refused"]) for each in rows)
        if (row["evaluation_sha256"], row["task_sha256"], row["refused"]) not in known:
            self._tables["tasks"].append(row)

    def spent(self, drawn: Iterable[tuple[str, Strategy]]) -> dict[str, float | None]:
        """What the candidates of tasks under strategies cost; a source that was drawn several times is judged once.

        None where one of them does not say.
        """
        strategies_of: dict[str, list[Strategy]] = defaultdict(list)
        for task, strategy in drawn:
            strategies_of[task].append(strategy)
        candidates: dict[tuple[str, str, int], Row] = {}
        evaluation_seconds: dict[tuple[str, str], float | None] = {}
        for task, strategies in strategies_of.items():
            indices = {strategy.sampling_sha256: strategy.indices for strategy in strategies}
            judged_as = {strategy.evaluation_sha256 for strategy in strategies}
            for row in self._tables["completions"].rows(task):
                if row["index"] in indices.get(row["sampling_sha256"], ()):
                    candidates[task, row["sampling_sha256"], row["index"]] = row
            for row in self._tables["evaluations"].rows(task):
                theirs = row["index"] in indices.get(row["sampling_sha256"], ())
                if theirs and row["evaluation_sha256"] in judged_as and row["source_sha256"] is not None:
                    evaluation_seconds[task, row["source_sha256"]] = row["seconds"].get("total")
        return {
            "rollouts": len(candidates),
            "sampled_tokens": _sum(row["n_tokens"] for row in candidates.values()),
            "sampling_seconds": _sum(row["seconds"] for row in candidates.values()),
            "evaluation_seconds": _sum(evaluation_seconds.values()),
        }

    def selection(self, task: str, strategy: Strategy) -> Selection | None:
        for row in self._tables["selections"].rows(task):
            if row["strategy"] == strategy.name and row["strategy_sha256"] == strategy.sha256:
                return Selection.from_json(row)
        return None

    def add_selection(self, selection: Selection, strategy: Strategy) -> None:
        self._tables["selections"].append({**selection.to_json(), "strategy_sha256": strategy.sha256})

    def comparison(self, task: str, hashes: Mapping[str, str]) -> Row | None:
        """What was said of two sources, by their hashes and that of the way to judge."""
        rows = self._tables["comparisons"].rows(task)
        return next((row for row in rows if all(row[key] == value for key, value in hashes.items())), None)

    def add_comparison(self, task: str, hashes: Mapping[str, str], comparison: Mapping[str, Any]) -> None:
        self._tables["comparisons"].append({"task": task, **hashes, **comparison})

    def forecast(self, task: str, asked_sha256: str) -> Forecast | None:
        """What the policy was asked and said before, by the hash of what was asked."""
        rows = self._tables["forecasts"].rows(task)
        return next((Forecast.from_json(row) for row in rows if row["asked_sha256"] == asked_sha256), None)

    def add_forecast(self, forecast: Forecast) -> None:
        self._tables["forecasts"].append(forecast.to_json())

    def adaptation_steps(self, lineage: str) -> list[AdaptationStep]:
        """The steps of a lineage so far, in order."""
        return [AdaptationStep.from_json(row) for row in self._tables["adaptation"].rows(lineage)]

    def add_adaptation_step(self, step: AdaptationStep) -> None:
        self._tables["adaptation"].append(step.to_json())

    def group_of(self, strategy: Strategy, tasks: Sequence[Task]) -> tuple[str, ...]:
        """The tasks that ``strategy`` adapts to in this run: ``tasks``, for whoever asks first.

        ``run.json`` then names them, and holds the hashes of those that were not collected too. A later session may
        name fewer of them: what was adapted to all of them stays what it is. Raises UsageError where it names others.
        """
        with self._run_locked():
            run = read_run(self.folder) or {}
            groups = run.setdefault("adaptation_groups", {})
            group = groups.setdefault(strategy.adaptation_sha256, [task.id for task in tasks])
            if {task.id for task in tasks} - set(group):
                raise UsageError(
                    f"{self.folder}: strategy {strategy.name} adapted to {len(group)} other tasks here; "
                    "name the same tasks, or start another run with --kernelbench-run"
                )
            run["task_sha256"] = _sources(self.folder, run, {task.id: task.sha256 for task in tasks})
            _write_atomically(self.folder / "run.json", run)
        return tuple(group)

    @contextmanager
    def _run_locked(self) -> Iterator[None]:
        with _locked(self.folder / "locks" / "run", os.O_RDWR | os.O_CREAT):
            yield


def read_run(folder: Path) -> Row | None:
    """``run.json`` of ``folder``, or None where there is no run. Raises UsageError."""
    try:
        run = json.loads((folder / "run.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise UsageError(f"{folder / 'run.json'}: not JSON ({error}); start another run") from error
    return dict(run)


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else round(sum(value for value in known if value is not None), 3)


def check_settings(folder: Path, recorded: Row, run: Mapping[str, Any]) -> None:
    """Raise UsageError unless ``run``, as far as it is known yet, may share the records in ``folder``."""
    remedy = "resume with the same, or start another run with --kernelbench-run"
    differing = [key for key in MUST_MATCH if key in run and recorded.get(key) != run[key]]
    # Of comparisons that strategies name the first counts; one that is named late is told as such.
    if None in (recorded.get("primary"), run.get("primary")) or str(run.get("primary_by")).startswith("strategy"):
        differing = [key for key in differing if key != "primary"]
    if differing:
        there = " ".join(f"{MUST_MATCH[key]}={recorded.get(key)}" for key in differing)
        here = " ".join(f"{MUST_MATCH[key]}={run[key]}" for key in differing)
        raise UsageError(f"{folder}: was made with {there}, not {here}; {remedy}")
    hashes = {row["name"]: row["sha256"] for row in recorded["strategies"]}
    for row in run["strategies"]:
        if hashes.get(row["name"], row["sha256"]) != row["sha256"]:
            raise UsageError(f"{folder}: was made with other settings of strategy {row['name']}; {remedy}")


def _joined(folder: Path, recorded: Row, run: Mapping[str, Any]) -> Row:
    """The recorded run with this one's tasks and strategies added, if the two may share their records."""
    check_settings(folder, recorded, run)
    strategies = {row["name"]: row for row in [*recorded["strategies"], *run["strategies"]]}
    for name, row in strategies.items():
        asked = [each.get("tasks") for each in (*recorded["strategies"], *run["strategies"]) if each["name"] == name]
        if None not in asked:
            # A strategy that is not among this run's was never asked for this run's tasks.
            strategies[name] = {**row, "tasks": list(dict.fromkeys(task for tasks in asked for task in tasks))}
    late = recorded.get("primary") is None and run.get("primary") is not None
    return {
        **recorded,
        # What a strategy that joins later names is told, but was not named before anything was seen.
        **({"primary": run["primary"], "primary_by": f"{run['primary_by']}, after the run had begun"} if late else {}),
        "strategies": list(strategies.values()),
        "tasks": list(dict.fromkeys([*recorded["tasks"], *run["tasks"]])),
        "task_sha256": _sources(folder, recorded, run["task_sha256"]),
    }


def _sources(folder: Path, recorded: Row, sources: Mapping[str, str]) -> dict[str, str]:
    """The hashes of tasks that are recorded, and ``sources``; raises UsageError where the two differ."""
    known = {**sources, **recorded.get("task_sha256", {})}
    for task, source in sources.items():
        if known[task] != source:
            raise UsageError(f"{folder}: was made with another text of {task}; start another run")
    return known


def _probe(folder: Path) -> None:
    """Write and remove a file: a full disk or a folder of somebody else is met before anything is begun."""
    probe = folder / "locks" / f"probe-{os.getpid()}"
    probe.write_bytes(b"\0" * 4096)
    probe.unlink()


@contextmanager
def _locked(path: Path, flags: int, *, wait: bool = True) -> Iterator[int]:
    """The file, once it is locked; -1 where it is not to be waited for and another holds it."""
    file = os.open(path, flags | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = file
        except BlockingIOError:
            held = -1
        yield held
    finally:
        os.close(file)


def _write_atomically(path: Path, value: Mapping[str, Any]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, path)
