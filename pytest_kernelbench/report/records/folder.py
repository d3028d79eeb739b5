"""Reads a run folder: tasks, completions, evaluations and selections, joined by task and candidate.

Keys of ``run.json`` that are read here: ``tasks`` (every id collected: the denominator), ``strategies`` (each
as ``Strategy.to_json``), ``margin`` and ``seed``. A strategy that was evaluated by another protocol than the run's may
carry its own ``margin``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.records import AdaptationStep, AgainstBaseline, Completion, Evaluation, Selection
from pytest_kernelbench.report.metrics import Sample, StrategyResults, TaskResults
from pytest_kernelbench.report.records.consistency import refuse_contradictions
from pytest_kernelbench.report.records.rows import (
    AgainstKey,
    EvaluationKey,
    Probed,
    ProbeKey,
    Row,
    SampleKey,
    StepKey,
    against_row,
    completion_row,
    evaluation_row,
    probed_row,
    rows_of,
    run_json,
    selection_row,
    step_row,
)
from pytest_kernelbench.selection.steps import candidates_of, counted
from pytest_kernelbench.strategy import Adaptation
from pytest_kernelbench.tasks.findings import TaskFindings


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyOfRun:
    """A strategy as a run used it. A hash of None matches every row; ``adaptation`` is None without training.

    ``selection`` is the section of its file. ``tasks``: the ids of its tasks; None: all tasks of the run.
    ``reads_verdicts``: later candidates were drawn after verdicts on earlier ones, so subsets of equal size are not
    exchangeable. ``stops``: it may have drawn fewer than ``k`` candidates for a task; its selection has the number.
    """

    name: str
    k: int
    margin: float = 0.0
    sha256: str | None = None
    sampling_sha256: str | None = None
    evaluation_sha256: str | None = None
    adaptation_sha256: str | None = None
    adaptation: Adaptation | None = None
    reads_verdicts: bool = False
    stops: bool = False
    selection: Mapping[str, Any] = field(default_factory=dict, compare=False, hash=False)
    tasks: frozenset[str] | None = field(default=None, compare=False, hash=False)

    @property
    def as_search(self) -> StrategyOfRun:
        """The settings of step 0: the strategy's policy as loaded, without adaptation."""
        return replace(self, adaptation_sha256=None, adaptation=None)

    def asked_for(self, task: str) -> bool:
        """Whether the strategy was to solve the unit: a run resumed with another strategy may have more tasks."""
        return self.tasks is None or task in self.tasks


class Unit(NamedTuple):
    """A task, and in a study of several seeds one of them."""

    task: str
    seed: int | None = None

    @property
    def name(self) -> str:
        return TaskResults(task=self.task, seed=self.seed).unit


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecords:
    """One run, or several merged. ``notes``: lines on rows that were skipped while reading.

    ``tasks`` names the units of the strategies: ids of tasks, or ``id[seed=1]`` if runs of several seeds
    were merged; ``units`` has their parts. Units that strategies trained on and that were not
    collected are in no denominator: ``only_trained_on`` names them. ``nulls`` are evaluations of the reference against
    itself, ``null_tasks`` the task of each; ``confirmations`` the second timings of chosen candidates, and ``against``
    their timings beside stronger baselines; ``against_themselves`` timings of such a baseline beside itself;
    ``probes`` rollouts of step 0 scored under later weights. ``findings`` are findings about the tasks' references.
    Of several rows with one key the last counts: a resumed run appends.
    """

    options: Mapping[str, Any]
    tasks: tuple[str, ...]
    strategies: tuple[StrategyOfRun, ...]
    completions: Mapping[SampleKey, Completion] = field(default_factory=dict)
    evaluations: Mapping[EvaluationKey, Evaluation] = field(default_factory=dict)
    selections: Mapping[tuple[str, str], Selection] = field(default_factory=dict)
    nulls: tuple[Evaluation, ...] | None = None
    null_tasks: tuple[str | None, ...] = ()
    confirmations: Mapping[EvaluationKey, Evaluation] = field(default_factory=dict)
    against: Mapping[AgainstKey, AgainstBaseline] = field(default_factory=dict)
    against_themselves: Mapping[AgainstKey, AgainstBaseline] = field(default_factory=dict)
    adaptation: Mapping[StepKey, AdaptationStep] = field(default_factory=dict)
    probes: Mapping[ProbeKey, Probed] = field(default_factory=dict)
    units: Mapping[str, Unit] = field(default_factory=dict)
    findings: Mapping[str, TaskFindings] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    _joined: dict[Any, dict[str, tuple[Sample, ...]]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    @classmethod
    def load(cls, folder: Path, *, tasks: Sequence[str] | None = None) -> RunRecords:
        """Read ``folder``. ``tasks`` replaces the list in ``run.json``.

        A last line that was cut short is left out and noted. Raises UsageError for a folder that holds no
        run, for a line that cannot be read anywhere else, and for rows that contradict each other.
        """
        options = run_json(folder / "run.json")
        collected = options["tasks"] if tasks is None else tasks
        notes: list[str] = []

        def rows(name: str, parse: Callable[[Mapping[str, Any]], Row]) -> list[Row]:
            return list(rows_of(folder / name, parse, notes))

        null_was_asked = (folder / "null.jsonl").exists()
        nulls = rows("null.jsonl", lambda row: (row.get("task"), Evaluation.from_json(row)))
        beside = rows("baselines.jsonl", against_row)
        records = cls(
            options=options,
            tasks=tuple(dict.fromkeys(collected)),
            strategies=_strategies(options, folder / "run.json"),
            completions=dict(rows("completions.jsonl", completion_row)),
            evaluations=dict(rows("evaluations.jsonl", evaluation_row)),
            selections=dict(rows("selections.jsonl", selection_row)),
            nulls=tuple(evaluation for _, evaluation in nulls) if null_was_asked else None,
            null_tasks=tuple(task for task, _ in nulls),
            confirmations=dict(rows("confirmations.jsonl", evaluation_row)),
            against={key: each for null, key, each in beside if not null},
            against_themselves={key: each for null, key, each in beside if null},
            findings={each.task: each for each in rows("tasks.jsonl", TaskFindings.from_json)},
            adaptation=dict(rows("adaptation.jsonl", partial(step_row, int(options.get("seed") or 0)))),
            probes=dict(rows("probes.jsonl", partial(probed_row, int(options.get("seed") or 0)))),
            notes=tuple(notes),
        )
        refuse_contradictions(records, str(folder))
        return records

    def null_counts(self, counts: Callable[[Evaluation], bool]) -> tuple[list[int], list[int]]:
        """For each task, how many timings of the reference against itself pass ``counts``, and how many there are.

        Rows of several seeds are of one reference, so they are not independent trials.
        """
        nulls = self.nulls or ()
        tasks = self.null_tasks if len(self.null_tasks) == len(nulls) else (None,) * len(nulls)
        found: dict[object, list[bool]] = {}
        for place, (task, each) in enumerate(zip(tasks, nulls, strict=True)):
            found.setdefault(place if task is None else task, []).append(counts(each))
        return [sum(each) for each in found.values()], [len(each) for each in found.values()]

    @property
    def seed(self) -> int:
        """The seed of this run, or of the first of several, for bootstraps."""
        return int(self.options.get("seed") or 0)

    @property
    def seeds(self) -> tuple[int, ...]:
        several = sorted({unit.seed for unit in self.units.values() if unit.seed is not None})
        return tuple(several) or (self.seed,)

    def unit(self, name: str) -> Unit:
        return self.units.get(name, Unit(name))

    @property
    def only_trained_on(self) -> tuple[str, ...]:
        """Units of a lineage's group that are not among ``tasks``, in the order of the groups."""
        groups = {self._unit_name(task, seed) for (seed, _, _), step in self.adaptation.items() for task in step.group}
        return tuple(sorted(groups.difference(self.tasks), key=natural))

    def results(self, strategy: StrategyOfRun) -> StrategyResults:
        """The results of ``strategy``, with one entry for each of its units.

        The samples of an adaptation strategy are the rollouts of all its steps, without held-out ones; for a task that
        it did not train on, the rollouts of the chosen step.
        """
        samples = self._samples(strategy, held_out=False)
        again = {
            (name, evaluation.source_sha256): evaluation
            for (_, judging, name, _), evaluation in self.confirmations.items()
            if _same(judging, strategy.evaluation_sha256)
        }

        beside: dict[tuple[str, str | None], dict[str, AgainstBaseline]] = {}
        for (judging, name, source, baseline), timed in self.against.items():
            if _same(judging, strategy.evaluation_sha256):
                beside.setdefault((name, source), {})[baseline] = timed

        def of(name: str) -> TaskResults:
            unit, selection = self.unit(name), self.selections.get((name, strategy.name))
            found = TaskResults(task=unit.task, seed=unit.seed, samples=samples.get(name, ()), selection=selection)
            if found.chosen is None or selection is None:
                return found
            # A source that timings chose several times was timed again once.
            second = again.get((name, found.chosen.source_sha256)) if selection.retimed else None
            return replace(found, confirmation=second, against=beside.get((name, found.chosen.source_sha256), {}))

        return StrategyResults(
            strategy=strategy.name,
            k=strategy.k,
            margin=strategy.margin,
            seed=self.seed,
            tasks=tuple(of(name) for name in self.tasks if strategy.asked_for(self.unit(name).task)),
        )

    def drawn(self, strategy: StrategyOfRun) -> dict[str, tuple[Sample, ...]]:
        """By unit, all candidates that ``strategy`` drew, also held-out ones and those of units only trained on."""
        return self._samples(strategy, held_out=True)

    def lineages(self, strategy: StrategyOfRun) -> dict[tuple[int, str], list[AdaptationStep]]:
        """By the run's seed and the lineage, the steps that ``strategy`` takes: one that shares them may take more."""
        found: dict[tuple[int, str], list[AdaptationStep]] = {}
        if strategy.adaptation is None:
            return found
        for (seed, lineage, _), step in sorted(self.adaptation.items(), key=lambda item: item[0]):
            if step.adaptation_sha256 == strategy.adaptation_sha256:
                found.setdefault((seed, lineage), []).append(step)
        return {key: counted(steps, strategy.adaptation) for key, steps in found.items()}

    def steps(self, strategy: StrategyOfRun) -> dict[str, list[AdaptationStep]]:
        """By unit, the steps of the lineage that trains on it; units that were not collected come last."""
        found = {
            self._unit_name(task, seed): steps
            for (seed, _), steps in self.lineages(strategy).items()
            for task in steps[0].group
        }
        return {name: found[name] for name in (*self.tasks, *self.only_trained_on) if name in found}

    def _samples(self, strategy: StrategyOfRun, *, held_out: bool) -> dict[str, tuple[Sample, ...]]:
        """Strategies that share candidates share the very samples, which are joined once."""
        name = strategy.name if strategy.stops else ""
        key = (held_out, replace(strategy, name=name, sha256=None, margin=0.0))
        if key not in self._joined:
            self._joined[key] = self._join(strategy, held_out)
        return self._joined[key]

    def _join(self, strategy: StrategyOfRun, held_out: bool) -> dict[str, tuple[Sample, ...]]:
        drawn = self._drawn_by(strategy, held_out)
        found: dict[str, dict[int, Sample]] = {}
        for (sampling, name, index), completion in self.completions.items():
            if drawn(sampling, name, index):
                found.setdefault(name, {})[index] = Sample(index=index, completion=completion)
        for (sampling, judging, name, index), evaluation in self.evaluations.items():
            if _same(judging, strategy.evaluation_sha256) and drawn(sampling, name, index):
                of_unit = found.setdefault(name, {})
                of_unit[index] = replace(of_unit.get(index, Sample(index=index)), evaluation=evaluation)
        return {name: tuple(samples[index] for index in sorted(samples)) for name, samples in found.items()}

    def _drawn_by(self, strategy: StrategyOfRun, held_out: bool) -> Callable[[str | None, str, int], bool]:
        if strategy.adaptation is None:
            collected = frozenset(self.tasks)
            asked_of = self._asked(strategy)

            def searched(sampling: str | None, name: str, index: int) -> bool:
                asked = asked_of.get(name, strategy.k)
                return name in collected and index < asked and _same(sampling, strategy.sampling_sha256)

            return searched
        steps = {name: list(taken) for name, taken in self.steps(strategy).items()}
        for (seed, _), taken in self.lineages(strategy).items() if strategy.adaptation.scope == "batch" else ():
            for name in self.tasks:
                unit = self.unit(name)
                if name not in steps and unit.seed in (None, seed):
                    (chosen,), _ = candidates_of(unit.task, taken, strategy.adaptation)
                    steps[name] = [step for step in taken if step.step == chosen]
        spans = {
            (step.sampling_sha256, name): range(
                step.first_index, step.first_index + step.rollouts + (step.holdout if held_out else 0)
            )
            for name, taken in steps.items()
            for step in taken
        }
        return lambda sampling, name, index: index in spans.get((sampling, name), ())

    def _asked(self, strategy: StrategyOfRun) -> dict[str, int]:
        """By unit, how many candidates a strategy that stops by itself asked for, where it has chosen."""
        chosen = ((name, self.selections.get((name, strategy.name))) for name in self.tasks if strategy.stops)
        return {name: each.asked for name, each in chosen if each is not None and each.asked is not None}

    def _unit_name(self, task: str, seed: int) -> str:
        return Unit(task, seed).name if self.units else task


def natural(task: str) -> list[tuple[int, str]]:
    """Sort key of tasks: level1/4 comes before level1/12."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", task)]


def _same(of_row: str | None, of_strategy: str | None) -> bool:
    return of_row is None or of_strategy is None or of_row == of_strategy


def _strategies(options: Mapping[str, Any], path: Path) -> tuple[StrategyOfRun, ...]:
    margin = options.get("margin")
    hashes = ("sha256", "sampling_sha256", "evaluation_sha256", "adaptation_sha256")
    try:
        return tuple(
            StrategyOfRun(
                name=row["name"],
                k=operator.index(row["sampling"]["k"]),
                margin=float(row.get("margin", margin) or 0.0),
                selection=row.get("selection") or {},
                tasks=None if row.get("tasks") is None else frozenset(row["tasks"]),
                adaptation=Adaptation.from_json(row["adaptation"]) if row.get("adaptation") else None,
                reads_verdicts=bool(row.get("search") or row.get("stopping")),
                stops=bool(row.get("stopping")),
                **{key: row.get(key) for key in hashes},
            )
            for row in options.get("strategies", ())
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f'{path}: "strategies" cannot be read ({error!r}); name the folder of a run') from error
