"""The run folder: the records of every stage, appended as they are made, so that a killed run can be resumed.

A record is one line of JSON in the file of its table. It is written at once and under a lock, so that several processes
may share a folder.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.ledger.resuming import check_settings, joined, read_run, sources_joined
from pytest_kernelbench.ledger.tables import Row, Table, locked, probe, remove_empty, write_atomically
from pytest_kernelbench.records import (
    AdaptationStep,
    AgainstBaseline,
    Completion,
    Evaluation,
    Forecast,
    Selection,
    Task,
)
from pytest_kernelbench.strategy import Strategy
from pytest_kernelbench.tasks.findings import TaskFindings

__all__ = ["TABLES", "Ledger", "Row", "Table", "check_settings", "read_run"]

Record = TypeVar("Record", AdaptationStep, AgainstBaseline, Completion, Evaluation, Forecast, Selection)
# The field by which each table's rows are looked up.
TABLES = {
    **dict.fromkeys(
        (
            *("completions", "evaluations", "confirmations", "null", "selections", "forecasts"),
            *("gate_sizes", "comparisons", "baselines", "faults", "tasks"),
        ),
        "task",
    ),
    "adaptation": "lineage",
}


class Ledger:
    """Reads and writes the records of one run folder. ``warnings``: lines to print at the end of the session."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[str] = []
        self._tables = {name: Table(folder / f"{name}.jsonl", key) for name, key in TABLES.items()}

    @classmethod
    def open(cls, folder: Path, run: Mapping[str, Any]) -> Ledger:
        """Make the folder of a run, or resume the run in it. ``run``: the content of ``run.json``.

        Raises UsageError if the folder cannot be made, as on a full disk (it is then removed again), or if it holds a
        run with other settings.
        """
        self = cls(folder)
        new = [each for each in (folder / "locks", folder, *folder.parents) if not each.exists()]
        try:
            (folder / "locks").mkdir(parents=True, exist_ok=True)
            probe(folder)
        except OSError as error:
            remove_empty(new)
            raise UsageError(
                f"{folder}: cannot hold a run ({error.strerror}); name another folder with --kernelbench-run"
            ) from error
        with self._run_locked():
            recorded = read_run(folder)
            if recorded is None:
                write_atomically(folder / "run.json", dict(run))
            else:
                write_atomically(folder / "run.json", joined(folder, recorded, run))
        self.warnings += [warning for table in self._tables.values() if (warning := table.repair())]
        return self

    def note(self, **facts: Any) -> None:
        """Write facts that results depend on into ``run.json``. Raises UsageError if another value is recorded."""
        with self._run_locked():
            run = read_run(self.folder) or {}
            for key, value in facts.items():
                if run.get(key) not in (None, value):
                    raise UsageError(
                        f"{self.folder}: was made with {key} {run[key]}, and now it is {value}; "
                        "start another run with --kernelbench-run"
                    )
            write_atomically(self.folder / "run.json", {**run, **facts})

    def remark(self, about: str, line: str) -> None:
        """Write a line into ``run.json`` that every report prints. A later line with the same ``about`` replaces it."""
        with self._run_locked():
            run = read_run(self.folder) or {}
            write_atomically(self.folder / "run.json", {**run, "remarks": {**run.get("remarks", {}), about: line}})

    def keep(self, table: str, key: str, value: Mapping[str, Any]) -> bool:
        """Write ``value`` to ``run.json``, under ``table`` and ``key``, unless there is one. Returns whether it did."""
        with self._run_locked():
            run = read_run(self.folder) or {}
            held = run.setdefault(table, {})
            if key in held:
                return False
            held[key] = dict(value)
            write_atomically(self.folder / "run.json", run)
        return True

    def describe(self, machine: Mapping[str, Any]) -> None:
        """Write the facts about the machine into ``run.json``, under ``machine``. The last process to write counts."""
        with self._run_locked():
            write_atomically(self.folder / "run.json", {**(read_run(self.folder) or {}), "machine": machine})

    def spend(self, stage: str, seconds: float) -> None:
        """Add ``seconds`` to the stage's total in ``run.json``, which is over all processes and resumptions."""
        with self._run_locked():
            run = read_run(self.folder) or {}
            spent = run.get("seconds", {})
            spent[stage] = round(spent.get(stage, 0.0) + seconds, 3)
            write_atomically(self.folder / "run.json", {**run, "seconds": spent})

    @contextmanager
    def sole_owner(self, task: str) -> Iterator[None]:
        """Lock ``task`` against other processes, so that its samples are drawn once. Waits for the lock."""
        with locked(self._lock_of(task), os.O_RDWR | os.O_CREAT):
            yield

    @contextmanager
    def owner_if_free(self, task: str) -> Iterator[bool]:
        """As ``sole_owner``, without waiting. Yields whether this process has the lock."""
        with locked(self._lock_of(task), os.O_RDWR | os.O_CREAT, wait=False) as file:
            yield file >= 0

    def _lock_of(self, task: str) -> Path:
        return self.folder / "locks" / task.replace("/", "--")

    def completions(self, task: str, strategy: Strategy) -> dict[int, Completion]:
        """The recorded completions of a task that the strategy uses, by index."""
        found = {}
        drawn_from, indices = strategy.sampling_sha256, strategy.indices
        for row in self._tables["completions"].rows(task):
            if row["sampling_sha256"] == drawn_from and row["index"] in indices:
                found[row["index"]] = self._record("completions", Completion, row)
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
        """Evaluations by hash of the source. Any strategy with the same evaluation settings may have made them."""
        return {
            row["source_sha256"]: self._record(table, Evaluation, row)
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
        """Record a fault of the harness while it judged a source (None: the task). A resumed run tries again."""
        row = {"task": task, "source_sha256": source_sha256, "evaluation_sha256": strategy.evaluation_sha256}
        self._tables["faults"].append({**row, "message": str(error), "traceback": error.traceback})

    def add_findings(self, findings: TaskFindings, strategy: Strategy) -> None:
        """Record the findings about a task's reference, once for each set of evaluation settings."""
        rows = self._tables["tasks"].rows(findings.task)
        row = {**findings.to_json(), "evaluation_sha256": strategy.evaluation_sha256}
        known = ((each["evaluation_sha256"], each["task_sha256"], each["refused"]) for each in rows)
        if (row["evaluation_sha256"], row["task_sha256"], row["refused"]) not in known:
            self._tables["tasks"].append(row)

    def spent(self, drawn: Iterable[tuple[str, Strategy]]) -> dict[str, float | None]:
        """The cost of the candidates of (task, strategy) pairs: rollouts, tokens, and seconds of sampling and judging.

        A source that was drawn several times is judged once, and counted once. A sum is None if one of its parts was
        not recorded.
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
                return self._record("selections", Selection, row)
        return None

    def add_selection(self, selection: Selection, strategy: Strategy) -> None:
        self._tables["selections"].append({**selection.to_json(), "strategy_sha256": strategy.sha256})

    def comparison(self, task: str, key: Mapping[str, Any]) -> Row | None:
        """The last recorded comparison of a kernel with its baseline; None if there is none.

        ``key``: the hashes of both sources and of the evaluation settings, and the settings of the gate.
        """
        rows = self._tables["comparisons"].rows(task)
        found = (row for row in reversed(rows) if all(row.get(name) == value for name, value in key.items()))
        return next(found, None)

    def add_comparison(self, task: str, key: Mapping[str, Any], comparison: Mapping[str, Any]) -> None:
        self._tables["comparisons"].append({"task": task, **key, **comparison})

    def against(self, task: str, strategy: Strategy, source_sha256: str) -> dict[str, AgainstBaseline]:
        """By baseline, the recorded timing of a source beside it, under the strategy's evaluation settings."""
        hashes = (source_sha256, strategy.evaluation_sha256)
        rows = self._tables["baselines"].rows(task)
        found = [row for row in rows if (row["source_sha256"], row["evaluation_sha256"]) == hashes]
        return {row["baseline"]: self._record("baselines", AgainstBaseline, row) for row in found}

    def add_against(
        self, task: str, strategy: Strategy, source_sha256: str, found: AgainstBaseline, *, null: bool = False
    ) -> None:
        """Keep it for ``against``. ``null``: the source is the baseline itself."""
        hashes = {"source_sha256": source_sha256, "evaluation_sha256": strategy.evaluation_sha256}
        self._tables["baselines"].append({"task": task, "null": null, **hashes, **found.to_json()})

    def evaluation_at(self, task: str, strategy: Strategy, sizes: str, source_sha256: str) -> Evaluation | None:
        """The recorded evaluation of a kept kernel at the ``sizes`` of a gate (see ``tasks.gate_sizes``), or None."""
        key = {"sizes": sizes, "source_sha256": source_sha256, "evaluation_sha256": strategy.evaluation_sha256}
        rows = self._tables["gate_sizes"].rows(task)
        found = (row for row in rows if all(row[name] == value for name, value in key.items()))
        return next((self._record("gate_sizes", Evaluation, row["evaluation"]) for row in found), None)

    def add_evaluation_at(self, task: str, strategy: Strategy, sizes: str, evaluation: Evaluation) -> None:
        """Record an evaluation for ``evaluation_at``."""
        hashes = {"source_sha256": evaluation.source_sha256, "evaluation_sha256": strategy.evaluation_sha256}
        row = {"task": task, "sizes": sizes, **hashes, "evaluation": evaluation.to_json()}
        self._tables["gate_sizes"].append(row)

    def forecast(self, task: str, asked_sha256: str) -> Forecast | None:
        """The recorded forecast of the policy for the question with this hash, or None."""
        rows = self._tables["forecasts"].rows(task)
        found = (row for row in rows if row["asked_sha256"] == asked_sha256)
        return next((self._record("forecasts", Forecast, row) for row in found), None)

    def add_forecast(self, forecast: Forecast) -> None:
        self._tables["forecasts"].append(forecast.to_json())

    def adaptation_steps(self, lineage: str) -> list[AdaptationStep]:
        """The steps of a lineage so far, in order."""
        rows = self._tables["adaptation"].rows(lineage)
        return [self._record("adaptation", AdaptationStep, row) for row in rows]

    def add_adaptation_step(self, step: AdaptationStep) -> None:
        self._tables["adaptation"].append(step.to_json())

    def group_of(self, strategy: Strategy, tasks: Sequence[Task]) -> tuple[str, ...]:
        """The ids of the tasks that ``strategy`` adapts to in this run.

        The first call decides: its ``tasks`` are recorded in ``run.json``, with the hashes of their texts. A later
        session may name fewer tasks, and gets all of the recorded ones, since the weights were adapted to all. Raises
        UsageError if it names other tasks.
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
            run["task_sha256"] = sources_joined(self.folder, run, {task.id: task.sha256 for task in tasks})
            write_atomically(self.folder / "run.json", run)
        return tuple(group)

    def _record(self, table: str, kind: type[Record], row: Mapping[str, Any]) -> Record:
        """A row as a record. Raises UsageError where a value is missing or of another type."""
        try:
            return kind.from_json(row)
        except ValueError as error:
            of = row.get("task") or row.get("lineage")
            raise UsageError(
                f"{self._tables[table].path}: a row{f' of {of}' if of else ''} cannot be read ({error}); "
                "remove it, or start another run with --kernelbench-run"
            ) from error

    @contextmanager
    def _run_locked(self) -> Iterator[None]:
        with locked(self.folder / "locks" / "run", os.O_RDWR | os.O_CREAT):
            yield


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else round(sum(value for value in known if value is not None), 3)
