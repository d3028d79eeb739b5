"""A run folder read back: what was collected, drawn, judged and chosen, joined by task and candidate.

Keys of ``run.json`` that are read here: ``tasks`` (every id collected: the denominator), ``strategies`` (each
as ``Strategy.to_json``), ``margin`` and ``seed``. A strategy that was evaluated by another protocol than the run's may
carry its own ``margin``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.metrics import Sample, StrategyResults, TaskResults
from pytest_kernelbench.records import AdaptationStep, Completion, Evaluation, Selection

Row = TypeVar("Row")
SampleKey = tuple[str | None, str, int]  # sampling hash, unit, index
EvaluationKey = tuple[str | None, str | None, str, int]  # sampling hash, evaluation hash, unit, index
StepKey = tuple[int, str, int]  # seed of the run, lineage, step
ProbeKey = tuple[int, str, int, str, int]  # seed of the run, lineage, step, task, index


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyOfRun:
    """A strategy as a run used it. A hash that is None matches every row."""

    name: str
    k: int
    margin: float = 0.0
    sha256: str | None = None
    sampling_sha256: str | None = None
    evaluation_sha256: str | None = None
    adaptation_sha256: str | None = None


class Unit(NamedTuple):
    """A task, and in a study of several seeds one of them."""

    task: str
    seed: int | None = None

    @property
    def name(self) -> str:
        return TaskResults(task=self.task, seed=self.seed).unit


class Probed(NamedTuple):
    """A rollout of step 0 under the weights of a later step; ``nll`` in nats, ``speedup`` None if incorrect."""

    nll: float
    speedup: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecords:
    """One run, or several merged. ``notes`` are lines for people about what was left out while reading.

    ``tasks`` names the units, every one of which is in every denominator: ids of tasks, or where runs of several
    seeds were merged ``id[seed=1]``, which ``units`` takes apart. ``nulls`` are evaluations of the reference against
    itself; ``confirmations`` the second timings of chosen candidates; ``probes`` rollouts of step 0 scored under later
    weights. Of several rows with one key the last counts: a resumed run appends.
    """

    options: Mapping[str, Any]
    tasks: tuple[str, ...]
    strategies: tuple[StrategyOfRun, ...]
    completions: Mapping[SampleKey, Completion] = field(default_factory=dict)
    evaluations: Mapping[EvaluationKey, Evaluation] = field(default_factory=dict)
    selections: Mapping[tuple[str, str], Selection] = field(default_factory=dict)
    nulls: tuple[Evaluation, ...] | None = None
    confirmations: Mapping[EvaluationKey, Evaluation] = field(default_factory=dict)
    adaptation: Mapping[StepKey, AdaptationStep] = field(default_factory=dict)
    probes: Mapping[ProbeKey, Probed] = field(default_factory=dict)
    units: Mapping[str, Unit] = field(default_factory=dict)
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
            adaptation=dict(rows("adaptation.jsonl", partial(_step, int(options.get("seed") or 0)))),
            probes=dict(rows("probes.jsonl", partial(_probed, int(options.get("seed") or 0)))),
            notes=tuple(notes),
        )

    @property
    def seed(self) -> int:
        """Of this run, or the first of several: what seeds a bootstrap."""
        return int(self.options.get("seed") or 0)

    @property
    def seeds(self) -> tuple[int, ...]:
        several = sorted({unit.seed for unit in self.units.values() if unit.seed is not None})
        return tuple(several) or (self.seed,)

    def unit(self, name: str) -> Unit:
        return self.units.get(name, Unit(name))

    def results(self, strategy: StrategyOfRun) -> StrategyResults:
        """What ``strategy`` did, with one entry for every unit.

        Of an adaptation strategy the samples are the rollouts of all its steps, without those held out.
        """
        drawn = self._drawn_by(strategy)
        samples_by_unit: dict[str, dict[int, Sample]] = {name: {} for name in self.tasks}
        for (sampling, name, index), completion in self.completions.items():
            if name in samples_by_unit and drawn(sampling, name, index):
                samples_by_unit[name][index] = Sample(index=index, completion=completion)
        for (sampling, judging, name, index), evaluation in self.evaluations.items():
            if name in samples_by_unit and _same(judging, strategy.evaluation_sha256) and drawn(sampling, name, index):
                known = samples_by_unit[name].get(index, Sample(index=index))
                samples_by_unit[name][index] = replace(known, evaluation=evaluation)
        return StrategyResults(
            strategy=strategy.name,
            k=strategy.k,
            margin=strategy.margin,
            seed=self.seed,
            tasks=tuple(
                TaskResults(
                    task=self.unit(name).task,
                    seed=self.unit(name).seed,
                    samples=tuple(samples[index] for index in sorted(samples)),
                    selection=self.selections.get((name, strategy.name)),
                )
                for name, samples in samples_by_unit.items()
            ),
        )

    def steps(self, strategy: StrategyOfRun) -> dict[str, list[AdaptationStep]]:
        """By unit, the steps of its lineage under ``strategy``, in their order."""
        steps: dict[str, list[AdaptationStep]] = {}
        for (seed, _, _), step in sorted(self.adaptation.items(), key=lambda item: item[0]):
            if strategy.adaptation_sha256 is not None and step.adaptation_sha256 == strategy.adaptation_sha256:
                for task in step.group:
                    name = Unit(task, seed).name if self.units else task
                    steps.setdefault(name, []).append(step)
        return {name: steps[name] for name in self.tasks if name in steps}

    def _drawn_by(self, strategy: StrategyOfRun) -> Callable[[str | None, str, int], bool]:
        if strategy.adaptation_sha256 is None:
            return lambda sampling, name, index: index < strategy.k and _same(sampling, strategy.sampling_sha256)
        spans = {
            (step.sampling_sha256, name): range(step.first_index, step.first_index + step.rollouts)
            for name, steps in self.steps(strategy).items()
            for step in steps
        }
        return lambda sampling, name, index: index in spans.get((sampling, name), ())


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
    hashes = ("sha256", "sampling_sha256", "evaluation_sha256", "adaptation_sha256")
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
    completion = Completion.from_json(row)
    return (row.get("sampling_sha256"), completion.task, completion.index), completion


def _evaluation(row: Mapping[str, Any]) -> tuple[EvaluationKey, Evaluation]:
    key = (row.get("sampling_sha256"), row.get("evaluation_sha256"), row["task"], row["index"])
    return key, Evaluation.from_json(row)


def _selection(row: Mapping[str, Any]) -> tuple[tuple[str, str], Selection]:
    selection = Selection.from_json(row)
    return (selection.task, selection.strategy), selection


def _step(seed: int, row: Mapping[str, Any]) -> tuple[StepKey, AdaptationStep]:
    step = AdaptationStep.from_json(row)
    return (seed, step.lineage, step.step), step


def _probed(seed: int, row: Mapping[str, Any]) -> tuple[ProbeKey, Probed]:
    key = (seed, row["lineage"], row["step"], row["task"], row["index"])
    return key, Probed(nll=row["nll"], speedup=row["speedup"])
