"""A run as numbers: ``report.json``, from which every table is printed."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import Any

from pytest_kernelbench.metrics import (
    METRICS,
    StrategyResults,
    TaskResults,
    correct_rates,
    mean,
    n_fast,
    retained_speedup,
    sample_rates,
    speedup_of,
    speedups,
    void_counts,
)
from pytest_kernelbench.records import Evaluation, Outcome
from pytest_kernelbench.reports.run_folder import RunRecords, StrategyOfRun
from pytest_kernelbench.stats import Interval, any_success, clustered_bootstrap, coin_flip_success, wilson

SCHEMA = 1
OPTIONS = ("policy", "policy_label", "device", "protocol", "sizes", "margin", "seed")


def report_json(records: RunRecords) -> dict[str, Any]:
    """Everything that the terminal report says, as JSON values; ``null`` where there is nothing to measure.

    ``strategies`` is by strategy; ``samples`` has one entry for each distinct set of candidates, which
    several strategies may share. Intervals are 95 %: Wilson's for rates over tasks, others bootstrapped over
    tasks.
    """
    results = {strategy: records.results(strategy) for strategy in records.strategies}
    return {
        "schema": SCHEMA,
        **{key: records.options.get(key) for key in OPTIONS},
        "tasks": list(records.tasks),
        "strategies": {strategy.name: _strategy(strategy, results[strategy]) for strategy in results},
        "samples": [_samples(group, results) for group in _sharing(records.strategies)],
        "null": _null(records.nulls, records.options.get("margin") or 0.0),
        "notes": list(records.notes),
    }


def verdict(task: TaskResults) -> str:
    """``fast``, ``correct``, ``unsolved``, or ``missing`` where the run holds no choice for the task."""
    if task.selection is None:
        return "missing"
    if task.selection.index is None:
        return "unsolved"
    return "fast" if task.selection.fast else "correct"


def _strategy(strategy: StrategyOfRun, results: StrategyResults) -> dict[str, Any]:
    return {
        "sha256": strategy.sha256,
        "k": strategy.k,
        "metrics": {name: metric(results) for name, metric in METRICS.items()},
        "intervals": _intervals(results),
        "retained_speedup": retained_speedup(results),
        "tasks": {task.task: _task(task) for task in results.tasks},
    }


def _task(task: TaskResults) -> dict[str, Any]:
    chosen = task.selection
    row: dict[str, Any] = {
        "drawn": len(task.samples),
        "judged": len(task.evaluations),
        "correct": task.n_correct,
        "verdict": verdict(task),
        "index": None if chosen is None else chosen.index,
        "considered": [] if chosen is None else list(chosen.considered),
        "cost": {} if chosen is None else dict(chosen.cost),
    }
    if chosen is None or chosen.index is None:
        return {**row, "speedup": None, "low": None, "high": None, "first_speedup": None, "confirmed": False}
    confirmed = chosen.confirmed_speedup is not None
    return {
        **row,
        "speedup": speedup_of(chosen),
        "low": chosen.confirmed_low if confirmed else chosen.speedup_low,
        "high": chosen.confirmed_high if confirmed else chosen.speedup_high,
        "first_speedup": chosen.speedup,
        "confirmed": confirmed,
    }


def _intervals(results: StrategyResults) -> dict[str, list[float] | None]:
    fast = [name for name in METRICS if name.startswith("fast_") and "_sample" not in name]
    rates = ["solved", "any_correct", *fast]
    n = len(results.tasks)
    intervals: dict[str, Interval | None]
    intervals = {name: wilson(round((METRICS[name](results) or 0.0) * n), n) for name in rates}
    for name in ("fast_1_sample", "fast_1_sample_raw"):
        by_task = sample_rates(results, 1.0, verified=not name.endswith("_raw"))
        intervals[name] = clustered_bootstrap(by_task, seed=results.seed)
    intervals["correct"] = clustered_bootstrap(correct_rates(results), seed=results.seed)
    logs = clustered_bootstrap([log(each) for each in speedups(results)], seed=results.seed)
    intervals["geomean_speedup"] = None if logs is None else Interval(exp(logs.low), exp(logs.high))
    return {name: None if each is None else list(each) for name, each in intervals.items()}


def _sharing(strategies: Sequence[StrategyOfRun]) -> list[list[StrategyOfRun]]:
    groups: dict[tuple[Any, ...], list[StrategyOfRun]] = {}
    for strategy in strategies:
        key = (strategy.sampling_sha256, strategy.evaluation_sha256, strategy.k)
        groups.setdefault(key, []).append(strategy)
    return list(groups.values())


def _samples(
    group: Sequence[StrategyOfRun], results_by_strategy: dict[StrategyOfRun, StrategyResults]
) -> dict[str, Any]:
    results = results_by_strategy[group[0]]
    return {
        "strategies": [strategy.name for strategy in group],
        "k": results.k,
        "drawn": sum(len(task.samples) for task in results.tasks),
        "judged": sum(len(task.evaluations) for task in results.tasks),
        "outcomes": _outcomes(results),
        "void": void_counts(results),
        "any_of_k": _any_of_k(results),
    }


def _outcomes(results: StrategyResults) -> dict[str, int]:
    outcomes = [each.outcome for task in results.tasks for each in task.evaluations]
    return {outcome.value: outcomes.count(outcome) for outcome in Outcome}


def _any_of_k(results: StrategyResults) -> list[dict[str, Any]]:
    """The scaling curve, exact over subsets, at powers of two up to the fewest candidates that a task has.

    Tasks without any candidate count as 0 at every K.
    """
    drawn = [len(task.samples) for task in results.tasks if task.samples]
    largest = min(drawn, default=0)
    sizes = [1 << power for power in range(largest.bit_length())]

    def success(k: int, verified: bool) -> float | None:
        margin = results.margin
        counts = [(len(task.samples), n_fast(task, 1.0, margin, verified=verified)) for task in results.tasks]
        return mean(any_success(n, f, k) if n else 0.0 for n, f in counts)

    return [
        {
            "k": k,
            "fast_1": success(k, True),
            "fast_1_raw": success(k, False),
            "coin_flip": coin_flip_success(k),
        }
        for k in sizes
    ]


def _null(nulls: Sequence[Evaluation] | None, margin: float) -> dict[str, Any] | None:
    if nulls is None:
        return None
    n = len(nulls)
    verified = sum(each.fast(1.0, margin) for each in nulls)
    raw = sum(each.fast_raw(1.0) for each in nulls)
    interval = wilson(verified, n)
    return {
        "n": n,
        "not_correct": sum(not each.correct for each in nulls),
        "fast_1": verified,
        "fast_1_raw": raw,
        "false_positive_rate": verified / n if n else None,
        "interval": None if interval is None else list(interval),
    }
