"""Finds records that contradict each other: a report of them would be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.records import Task

if TYPE_CHECKING:
    from pytest_kernelbench.report.records.folder import RunRecords


def refuse_contradictions(records: RunRecords, place: str) -> None:
    """Raise UsageError, naming the task and candidate, where rows of a run contradict each other.

    A missing row is no contradiction: it counts as not measured.
    """
    for line in (*_choices(records), *_verdicts(records)):
        raise UsageError(f"{place}: {line}; was a row edited, or another run's added?")


def _choices(records: RunRecords) -> Iterator[str]:
    for strategy in records.strategies:
        for task in records.results(strategy).tasks:
            chosen, selection = task.chosen, task.selection
            if selection is None or selection.index is None:
                continue
            name = f"{_short(task.task)} #{selection.index}"
            if chosen is not None and not chosen.correct:
                yield f"{strategy.name} chose {name}, which evaluations.jsonl says is {chosen.outcome.value}"
            if selection.fast and selection.confirmed_low is not None and selection.confirmed_low <= 1:
                yield f"{strategy.name}'s {name} is fast, with a confirmed interval from {selection.confirmed_low:.4g}"


def _verdicts(records: RunRecords) -> Iterator[str]:
    """One source has one verdict, however often it was drawn."""
    seen: dict[tuple[str | None, ...], tuple[int, bool]] = {}
    for (sampling, judging, unit, index), evaluation in records.evaluations.items():
        if evaluation.source_sha256 is None:
            continue
        key = (sampling, judging, unit, evaluation.source_sha256)
        first, correct = seen.setdefault(key, (index, evaluation.correct))
        if correct != evaluation.correct:
            words = {True: "correct", False: "not correct"}
            yield (
                f"{_short(records.unit(unit).task)} #{first} and #{index} have the same source, and evaluations.jsonl "
                f"says that one is {words[correct]} and the other {words[evaluation.correct]}"
            )


def _short(task: str) -> str:
    return Task(id=task, source="").short_id
