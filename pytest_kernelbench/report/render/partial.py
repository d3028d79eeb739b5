"""The missing parts of a run that is not complete, for the first line of every report."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kernelbench.report.metrics import StrategyResults
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.render.numbers import counted


def partial_line(records: RunRecords, results: Sequence[StrategyResults]) -> str | None:
    """``partial: 2 of 5 tasks without a choice; 16 of 64 answers drawn for 1 task; ...``; None for a whole run.

    Of strategies that share candidates, the one that draws most is named.
    """
    parts = []
    lacking = {each.strategy: sum(task.selection is None for task in each.tasks) for each in results}
    if any(lacking.values()):
        worst = max(lacking, key=lambda name: lacking[name])
        without = f"{lacking[worst]} of {counted(len(records.tasks), _noun(records))} without a choice"
        parts.append(without + (f" by {worst}" if len(set(lacking.values())) > 1 else ""))
    # A strategy that stopped by itself is complete.
    searching = [each.name for each in records.strategies if each.adaptation is None and not each.stops]
    largest = max((each for each in results if each.strategy in searching), key=lambda each: each.k, default=None)
    if largest is not None:
        few = [len(task.samples) for task in largest.tasks if len(task.samples) < largest.k]
        if few:
            span = f"{min(few)}" if min(few) == max(few) else f"{min(few)} to {max(few)}"
            parts.append(f"{span} of {largest.k} answers drawn for {len(few)} of {len(largest.tasks)}")
    unjudged = max(
        (sum(len(task.samples) - len(task.evaluations) for task in each.tasks) for each in results), default=0
    )
    if unjudged:
        parts.append(f"{counted(unjudged, 'answer')} drawn and not judged")
    return f"partial: {'; '.join(parts)}" if parts else None


def _noun(records: RunRecords) -> str:
    return "task and seed" if records.units else "task"
