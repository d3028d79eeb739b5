"""Several runs as one: the shards of a task set, the seeds of a study, or both at once."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.report.records.folder import RunRecords, StrategyOfRun, Unit, natural

Value = TypeVar("Value")

MIXABLE = ("device", "protocol", "sizes", "margin")
ALWAYS_AGREE = ("policy", "policy_version", "primary", "baseline")


def merged(runs: Mapping[str, RunRecords], *, mix: bool = False) -> RunRecords:
    """Merge ``runs``; their keys name them in errors.

    Runs of one seed are shards: they share no task. Runs of several seeds are a study: each task of each seed is a
    unit of its own, named ``task[seed=1]``. Raises UsageError if runs were measured differently (unless ``mix``),
    or have different policies, strategies or texts of a task, or the same task and seed.
    """
    check_comparable(runs, mix=mix)
    (first_name, first), *others = runs.items()
    for key in ALWAYS_AGREE:
        _refuse_difference(runs, key, "report them one at a time")
    for name, run in others:
        if _strategies(run, mix) != _strategies(first, mix):
            raise UsageError(f"{name}: strategies differ from those of {first_name}; report them one at a time")
    several_seeds = len({run.seed for run in runs.values()}) > 1
    parts = {name: _with_seed(run) if several_seeds else run for name, run in runs.items()}
    owner: dict[str, str] = {}
    for name, run in parts.items():
        for unit in run.tasks:
            if unit in owner:
                raise UsageError(f"{name}: {unit} is in {owner[unit]} too; leave one of the two out")
            owner[unit] = name
    _refuse_two_of_one_lineage(parts)
    records = list(parts.values())
    mixed = _mixed(records)
    nulls = [run.nulls for run in records if run.nulls is not None]
    null_tasks = [task for run in records for task in _null_tasks(run)]
    return RunRecords(
        options={**first.options, **_agreed(records), **mixed, "seconds": _total_seconds(records)},
        tasks=tuple(sorted(owner, key=natural)),
        strategies=tuple(_strictest(each, records) for each in first.strategies),
        completions=_joined([run.completions for run in records]),
        evaluations=_joined([run.evaluations for run in records]),
        selections=_joined([run.selections for run in records]),
        nulls=tuple(row for rows in nulls for row in rows) if nulls else None,
        null_tasks=tuple(null_tasks),
        confirmations=_joined([run.confirmations for run in records]),
        against=_joined([run.against for run in records]),
        against_themselves=_joined([run.against_themselves for run in records]),
        adaptation=_joined([run.adaptation for run in records]),
        probes=_joined([run.probes for run in records]),
        units=_joined([run.units for run in records]),
        findings=_joined([run.findings for run in records]),
        notes=(
            *(note for run in records for note in run.notes),
            *(f"mixed: {key} {value}" for key, value in mixed.items()),
            *(_missing_seeds(records) if several_seeds else ()),
        ),
    )


def _null_tasks(run: RunRecords) -> tuple[str | None, ...]:
    nulls = run.nulls or ()
    return run.null_tasks if len(run.null_tasks) == len(nulls) else (None,) * len(nulls)


def check_comparable(runs: Mapping[str, RunRecords], *, mix: bool, keys: Sequence[str] = MIXABLE) -> None:
    """Raise UsageError where runs hold different texts of a task or, unless ``mix``, were measured differently."""
    for key in () if mix else keys:
        _refuse_difference(runs, key, "report them one at a time, or together with --mix")
    # The hash of a task is of its sizes too.
    if len({run.options.get("sizes") for run in runs.values()}) > 1:
        return
    seen: dict[str, tuple[str, str]] = {}
    for name, run in runs.items():
        for task, text in run.options.get("task_sha256", {}).items():
            where, before = seen.setdefault(task, (name, text))
            if before != text:
                raise UsageError(f"{name}: {task} has another text than in {where}; report them one at a time")


def _refuse_difference(runs: Mapping[str, RunRecords], key: str, remedy: str) -> None:
    """None stands for not known: a shard whose answers have no source did not use its device."""
    known = [(name, run.options[key]) for name, run in runs.items() if run.options.get(key) is not None]
    for name, value in known[1:]:
        where, first = known[0]
        if value != first:
            raise UsageError(f"{name}: {key} is {json.dumps(value)}, but {json.dumps(first)} in {where}; {remedy}")


def _refuse_two_of_one_lineage(runs: Mapping[str, RunRecords]) -> None:
    """Shards that trained on the same tasks made weights of one name, each from its own timings."""
    owner: dict[tuple[int, str], str] = {}
    for name, run in runs.items():
        for seed, lineage in dict.fromkeys((seed, lineage) for seed, lineage, _ in run.adaptation):
            where = owner.setdefault((seed, lineage), name)
            if where != name:
                raise UsageError(
                    f"{name}: trained on the same tasks as {where}, to other weights; report them one at a time, or "
                    "train once and name the adapter with --policy"
                )


def _with_seed(run: RunRecords) -> RunRecords:
    """``run`` with every task named after its seed too."""

    def named(task: str) -> str:
        return Unit(task, run.seed).name

    def rekeyed(rows: Mapping[Any, Value], place: int) -> dict[Any, Value]:
        return {(*key[:place], named(key[place]), *key[place + 1 :]): row for key, row in rows.items()}

    return replace(
        run,
        tasks=tuple(map(named, run.tasks)),
        units={named(task): Unit(task, run.seed) for task in (*run.tasks, *run.only_trained_on)},
        completions=rekeyed(run.completions, 1),
        evaluations=rekeyed(run.evaluations, 2),
        selections=rekeyed(run.selections, 0),
        confirmations=rekeyed(run.confirmations, 2),
        against=rekeyed(run.against, 1),
        against_themselves=rekeyed(run.against_themselves, 1),
    )


def _agreed(runs: Sequence[RunRecords]) -> dict[str, Any]:
    """The value that at least one of the runs has, if no other run has a different one."""
    return {key: value for run in reversed(runs) for key, value in run.options.items() if value is not None}


def _mixed(runs: Sequence[RunRecords]) -> dict[str, Any]:
    """Settings that differ between merged runs; of margins the strictest counts."""
    values = {key: list(dict.fromkeys(run.options.get(key) for run in runs)) for key in MIXABLE}
    known = {key: [each for each in found if each is not None] for key, found in values.items()}
    return {key: max(found) if key == "margin" else " + ".join(found) for key, found in known.items() if len(found) > 1}


def _missing_seeds(runs: Collection[RunRecords]) -> list[str]:
    """A line for each seed that lacks tasks which others have: its mean is over other tasks than theirs."""
    tasks_by_seed: dict[int, set[str]] = {}
    for run in runs:
        tasks_by_seed.setdefault(run.seed, set()).update(run.unit(name).task for name in run.tasks)
    everything = set().union(*tasks_by_seed.values())
    return [
        f"seed {seed} lacks {len(everything - tasks)} of {len(everything)} tasks"
        for seed, tasks in sorted(tasks_by_seed.items())
        if tasks != everything
    ]


def _strategies(run: RunRecords, mix: bool) -> set[StrategyOfRun]:
    return {replace(each, margin=0.0) if mix else each for each in run.strategies}


def _strictest(strategy: StrategyOfRun, runs: Collection[RunRecords]) -> StrategyOfRun:
    same = [each for run in runs for each in run.strategies if each.name == strategy.name]
    asked = [each.tasks for each in same if each.tasks is not None]
    tasks = frozenset(task for each in asked for task in each) if len(asked) == len(same) else None
    return replace(strategy, margin=max(each.margin for each in same), tasks=tasks)


def _total_seconds(runs: Collection[RunRecords]) -> dict[str, float]:
    total: dict[str, float] = {}
    for run in runs:
        for stage, seconds in run.options.get("seconds", {}).items():
            total[stage] = round(total.get(stage, 0.0) + seconds, 3)
    return total


def _joined(tables: Collection[Mapping[Any, Value]]) -> dict[Any, Value]:
    return {key: row for table in tables for key, row in table.items()}
