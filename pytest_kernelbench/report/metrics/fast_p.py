"""fast_p: correct and more than ``p`` times as fast as the reference. Source: KernelBench, arXiv 2502.10517.

Each in two readings, ``verified`` (the interval's lower end is above ``p * (1 + margin)``) and raw (the
point estimate is above ``p``, as the literature counts), and of three things: the chosen candidate, every
judged sample, and any of them. One task is one vote. A task without a choice counts as not fast, one without a judged
sample is in no rate of samples. Nothing is verified by a protocol that gives no intervals: that reading is None.
"""

from __future__ import annotations

from pytest_kernelbench.records import Selection
from pytest_kernelbench.report.metrics.results import StrategyResults, mean

THRESHOLDS = (0.0, 0.5, 1.0, 1.5, 2.0)


def fast_p(results: StrategyResults, p: float, *, verified: bool) -> float | None:
    """Fraction of tasks whose chosen candidate is fast, verified by its confirmation timing alone."""
    if verified and not results.is_verifiable:
        return None
    return mean(selection_is_fast(task.selection, p, results.margin, verified) for task in results.tasks)


def fast_p_per_sample(results: StrategyResults, p: float, *, verified: bool) -> float | None:
    """Mean over tasks of the fraction of its samples that are fast: what one sample would give."""
    return mean(rate for rate in sample_rates(results, p, verified=verified) if rate is not None)


def fast_p_any(results: StrategyResults, p: float, *, verified: bool) -> float | None:
    """Fraction of tasks with at least one fast sample, on first timings: the literature's best-of-K."""
    if verified and not results.is_verifiable:
        return None
    judged = [task for task in results.tasks if task.evaluations]
    return mean(float(task.n_fast(p, results.margin, verified=verified) > 0) for task in judged)


def sample_rates(results: StrategyResults, p: float, *, verified: bool) -> list[float | None]:
    """For each task, the fraction of its judged samples that are fast; None where none was judged."""
    if verified and not results.is_verifiable:
        return [None] * len(results.tasks)
    return [
        task.n_fast(p, results.margin, verified=verified) / len(task.evaluations) if task.evaluations else None
        for task in results.tasks
    ]


def selection_is_fast(selection: Selection | None, p: float, margin: float, verified: bool) -> bool:
    if selection is None or selection.index is None:
        return False
    if p == 1.0:
        return selection.fast if verified else selection.fast_raw
    if verified:
        return selection.confirmed_low is not None and selection.confirmed_low > p * (1 + margin)
    return selection.speedup is not None and selection.speedup > p
