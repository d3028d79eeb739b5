"""Chosen kernels beside a stronger baseline than eager PyTorch: fast_1 and the geometric mean of speed-ups.

A task on which the baseline itself fails says nothing of any kernel and is left out. As everywhere, a task without a
chosen kernel counts as not fast and as 1.0. Where no kernel was timed beside the baseline there is no figure.
"""

from __future__ import annotations

from math import exp, log

from pytest_kernelbench.report.metrics.results import StrategyResults, TaskResults, mean


def fast_beside(results: StrategyResults, baseline: str) -> float | None:
    """Fraction of tasks whose chosen kernel was shown to be faster than the baseline by more than the margin."""
    if not was_timed_beside(results, baseline):
        return None
    return mean(each for each in (is_fast_beside(task, baseline) for task in results.tasks) if each is not None)


def geomean_beside(results: StrategyResults, baseline: str) -> float | None:
    """Geometric mean over tasks of baseline time / kernel time, by the judge's clock."""
    if not was_timed_beside(results, baseline):
        return None
    speedups = [speedup_beside(task, baseline) for task in results.tasks]
    logarithm = mean(log(each) for each in speedups if each is not None)
    return None if logarithm is None else exp(logarithm)


def was_timed_beside(results: StrategyResults, baseline: str) -> bool:
    """Whether any kernel was timed beside the baseline, or was to be."""
    return any(baseline in task.against for task in results.tasks)


def is_fast_beside(task: TaskResults, baseline: str) -> float | None:
    """1.0 if the choice is verified faster than the baseline, else 0.0; None if the baseline fails."""
    found = task.against.get(baseline)
    if found is None:
        return 0.0
    return None if found.failed == "baseline" else float(found.counted)


def speedup_beside(task: TaskResults, baseline: str) -> float | None:
    """The speed-up of a choice over the baseline, counted or not; 1 if not measured, None if the baseline fails."""
    found = task.against.get(baseline)
    if found is not None and found.failed == "baseline":
        return None
    return 1.0 if found is None or found.speedup is None else found.speedup
