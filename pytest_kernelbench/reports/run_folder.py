"""A run folder read back: what was collected, drawn, judged and chosen, joined by task and candidate.

Keys of ``run.json`` that are read here: ``tasks`` (every id collected: the denominator), ``strategies`` (each
as ``Strategy.to_json``), ``margin``, ``seed``, ``policy``, ``policy_label``, ``device``, ``protocol`` and
``sizes``. A strategy that was evaluated by another protocol than the run's may carry its own ``margin``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.metrics import Sample, StrategyResults, TaskResults
from pytest_kernelbench.records import Completion, Evaluation, Selection

Row = TypeVar("Row")
SampleKey = tuple[str | None, str, int]  # sampling hash, task, index
EvaluationKey = tuple[str | None, str | None, str, int]  # sampling hash, evaluation hash, task, index
MUST_AGREE = ("device", "protocol", "sizes", "margin", "policy", "seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyOfRun:
    """A strategy as a run used it. A hash that is None matches every row."""

    name: str
    k: int
    margin: float = 0.0
    sha256: str | None = None
    sampling_sha256: str | None = None
    evaluation_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecords:
    """One run, or several merged. ``notes`` are lines for people about what was left out while reading.

    ``nulls`` are evaluations of the reference against itself; ``confirmations`` the second timings of
    chosen candidates. Of several rows with one key the last counts: a resumed run appends.
    """

    options: Mapping[str, Any]
    tasks: tuple[str, ...]
    strategies: tuple[StrategyOfRun, ...]
    completions: Mapping[SampleKey, Completion] = field(default_factory=dict)
    evaluations: Mapping[EvaluationKey, Evaluation] = field(default_factory=dict)
    selections: Mapping[tuple[str, str], Selection] = field(default_factory=dict)
    nulls: tuple[Evaluation, ...] | None = None
    confirmations: Mapping[EvaluationKey, Evaluation] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, folder: Path, *, tasks: Sequence[str] | None = None) -> RunRecords:
        """Read ``folder``. ``tasks`` replaces the list in ``run.json``.

        A last line that was cut short is left out and noted. Raises UsageError for a folder that holds no
        run, and for a line that cannot be read anywhere else.
        """
        options = _run_json(folder / "run.json")
        collected = options.get("tasks") if tasks is None else tasks
        if collected is None:
            place = folder / "run.json"
            raise UsageError(f'{place}: no "tasks", so no denominator; was it written by this plugin?')
        notes: list[str] = []

        def rows(name: str, parse: Callable[[Mapping[str, Any]], Row]) -> list[Row]:
            return list(_rows(folder / name, parse, notes))

        null_was_asked = (folder / "null.jsonl").exists()
        return cls(
            options=options,
            tasks=tuple(dict.fromkeys(collected)),
            strategies=_strategies(options, folder / "run.json"),
            completions=dict(rows("completions.jsonl", _completion)),
            evaluations=dict(rows("evaluations.jsonl", _evaluation)),
            selections=dict(rows("selections.jsonl", _selection)),
            nulls=tuple(rows("null.jsonl", Evaluation.from_json)) if null_was_asked else None,
            confirmations=dict(rows("confirmations.jsonl", _evaluation)),
            notes=tuple(notes),
        )

    @classmethod
    def merge(cls, runs: Mapping[str, RunRecords]) -> RunRecords:
        """Several runs over different tasks as one; the keys of ``runs`` name them in errors.

        Raises UsageError where they were measured differently, used other strategies, or share a task.
        """
        (first_name, first), *others = runs.items()
        owner = dict.fromkeys(first.tasks, first_name)
        for name, run in others:
            for key in MUST_AGREE:
                here, there = first.options.get(key), run.options.get(key)
                if here != there:
                    raise UsageError(
                        f"{name}: {key} is {json.dumps(there)}, but {json.dumps(here)} in {first_name}; "
                        "report them one at a time"
                    )
            if set(run.strategies) != set(first.strategies):
                raise UsageError(f"{name}: strategies differ from those of {first_name}; report them one at a time")
            for task in run.tasks:
                if task in owner:
                    raise UsageError(f"{name}: {task} is in {owner[task]} too; leave one of the two out")
                owner[task] = name
        nulls = [run.nulls for run in runs.values() if run.nulls is not None]
        return replace(
            first,
            tasks=tuple(sorted(owner, key=_natural)),
            completions={key: row for run in runs.values() for key, row in run.completions.items()},
            evaluations={key: row for run in runs.values() for key, row in run.evaluations.items()},
            selections={key: row for run in runs.values() for key, row in run.selections.items()},
            nulls=tuple(row for rows in nulls for row in rows) if nulls else None,
            confirmations={key: row for run in runs.values() for key, row in run.confirmations.items()},
            notes=tuple(note for run in runs.values() for note in run.notes),
        )

    @property
    def seed(self) -> int:
        return int(self.options.get("seed") or 0)

    def results(self, strategy: StrategyOfRun) -> StrategyResults:
        """What ``strategy`` did, with one entry for every task collected."""
        samples_by_task: dict[str, dict[int, Sample]] = {task: {} for task in self.tasks}
        for (sampling, task, index), completion in self.completions.items():
            if task in samples_by_task and index < strategy.k and _same(sampling, strategy.sampling_sha256):
                samples_by_task[task][index] = Sample(index=index, completion=completion)
        for (sampling, judging, task, index), evaluation in self.evaluations.items():
            if (
                task in samples_by_task
                and index < strategy.k
                and _same(sampling, strategy.sampling_sha256)
                and _same(judging, strategy.evaluation_sha256)
            ):
                drawn = samples_by_task[task].get(index, Sample(index=index))
                samples_by_task[task][index] = replace(drawn, evaluation=evaluation)
        return StrategyResults(
            strategy=strategy.name,
            k=strategy.k,
            margin=strategy.margin,
            seed=self.seed,
            tasks=tuple(
                TaskResults(
                    task=task,
                    samples=tuple(samples[index] for index in sorted(samples)),
                    selection=self.selections.get((task, strategy.name)),
                )
                for task, samples in samples_by_task.items()
            ),
        )


def _same(of_row: str | None, of_strategy: str | None) -> bool:
    return of_row is None or of_strategy is None or of_row == of_strategy


def _run_json(path: Path) -> Mapping[str, Any]:
    try:
        options = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"{path.parent}: no run.json; name the folder of a run") from None
    except ValueError as error:
        raise UsageError(f"{path}: not JSON ({error}); was the run cut short?") from error
    if not isinstance(options, dict):
        raise UsageError(f"{path}: not a JSON object; was it written by this plugin?")
    return options


def _rows(path: Path, parse: Callable[[Mapping[str, Any]], Row], notes: list[str]) -> Iterator[Row]:
    if not path.exists():
        return
    lines = path.read_bytes().rstrip().splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                notes.append(f"{path}:{number}: the last line was cut short and is left out")
                return
            raise UsageError(
                f"{path}:{number}: not JSON, and not the last line; remove the line to read the rest"
            ) from error
        try:
            yield parse(row)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise UsageError(f"{path}:{number}: not a row of {path.name} ({reason})") from error


def _strategies(options: Mapping[str, Any], path: Path) -> tuple[StrategyOfRun, ...]:
    margin = options.get("margin")
    hashes = ("sha256", "sampling_sha256", "evaluation_sha256")
    try:
        return tuple(
            StrategyOfRun(
                name=row["name"],
                k=row["sampling"]["k"],
                margin=row.get("margin", margin) or 0.0,
                **{key: row.get(key) for key in hashes},
            )
            for row in options.get("strategies", ())
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f'{path}: "strategies" cannot be read ({error!r}); was it written by this plugin?') from error


def _completion(row: Mapping[str, Any]) -> tuple[SampleKey, Completion]:
    completion = Completion(**_known(Completion, row))
    return (row.get("sampling_sha256"), completion.task, completion.index), completion


def _evaluation(row: Mapping[str, Any]) -> tuple[EvaluationKey, Evaluation]:
    key = (row.get("sampling_sha256"), row.get("evaluation_sha256"), row["task"], row["index"])
    return key, Evaluation.from_json(row)


def _selection(row: Mapping[str, Any]) -> tuple[tuple[str, str], Selection]:
    selection = Selection(**_known(Selection, row))
    return (selection.task, selection.strategy), selection


def _known(cls: type, row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``cls`` in ``row``, with JSON's lists as tuples."""
    values = {each.name: row[each.name] for each in fields(cls) if each.name in row}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _natural(task: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", task)]
