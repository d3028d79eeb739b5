"""How many candidates are correct, and how many are void, by the evidence against them."""

from __future__ import annotations

from collections import Counter

from pytest_kernelbench.records import Outcome
from pytest_kernelbench.report.metrics.results import StrategyResults, mean


def correct_rate(results: StrategyResults) -> float | None:
    """Mean over tasks of the fraction of its judged samples that are correct; tasks without any are left out."""
    return mean(rate for rate in correct_rates(results) if rate is not None)


def correct_rates(results: StrategyResults) -> list[float | None]:
    """For each task, the fraction of its judged samples that are correct; None where none was judged."""
    return [task.share(each.correct for each in task.evaluations) for task in results.tasks]


def any_correct(results: StrategyResults) -> float | None:
    """Of the tasks with a judged sample, the fraction with at least one correct one."""
    return mean(float(task.n_correct > 0) for task in results.tasks if task.evaluations)


def solved(results: StrategyResults) -> float | None:
    """Fraction of tasks for which a correct candidate was chosen."""
    return mean(float(task.selection is not None and task.selection.index is not None) for task in results.tasks)


def void_counts(results: StrategyResults) -> dict[str, int]:
    """Void candidates by flag, most frequent first; one may carry several flags."""
    counts: Counter[str] = Counter()
    for task in results.tasks:
        for evaluation in task.evaluations:
            if evaluation.outcome is Outcome.VOID:
                counts.update(evaluation.flags or ("unflagged",))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
