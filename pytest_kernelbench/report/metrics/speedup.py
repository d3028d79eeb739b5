"""Speed-up of the chosen candidates: the confirmed one where it was timed again, else the first.

A task without a chosen candidate counts as 1.0, for its user stays with the reference. Leaving it out would
let a figure rise when a kernel is lost. Where no task has one, nothing was measured and there is no figure.
"""

from __future__ import annotations

from math import exp, log
from statistics import median

from pytest_kernelbench.records import Selection
from pytest_kernelbench.report.metrics.results import StrategyResults, mean


def speedup_of(selection: Selection) -> float | None:
    """Confirmed where it was timed again, else as first timed; None where nothing was chosen or timed."""
    return selection.speedup if selection.confirmed_speedup is None else selection.confirmed_speedup


def speedups(results: StrategyResults) -> list[float]:
    """The speed-up of each task's choice, 1.0 for a task without one."""
    measured = [None if task.selection is None else speedup_of(task.selection) for task in results.tasks]
    return [1.0 if speedup is None else speedup for speedup in measured]


def mean_speedup(results: StrategyResults) -> float | None:
    """Arithmetic mean, which one large value decides: for comparison with the literature."""
    return mean(speedups(results)) if _any_timed(results) else None


def geomean_speedup(results: StrategyResults) -> float | None:
    logarithm = mean(map(log, speedups(results)))
    return None if logarithm is None or not _any_timed(results) else exp(logarithm)


def median_speedup(results: StrategyResults) -> float | None:
    return median(speedups(results)) if _any_timed(results) else None


def _any_timed(results: StrategyResults) -> bool:
    return any(task.selection is not None and speedup_of(task.selection) is not None for task in results.tasks)


def retained_speedup(results: StrategyResults) -> float | None:
    """Geometric mean of confirmed / first speed-up over what timings chose: below 1 is the winner's curse."""
    chosen = [task.selection for task in results.tasks if task.selection is not None and task.selection.retimed]
    logarithm = mean(
        log(each.confirmed_speedup / each.speedup) for each in chosen if each.confirmed_speedup and each.speedup
    )
    return None if logarithm is None else exp(logarithm)
