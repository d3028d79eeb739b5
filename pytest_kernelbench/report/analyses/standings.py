"""Several policies, models or settings on the same tasks, each with all its seeds, set beside the first.

``standings(runs)``::

    {"tasks": 20, "left_out": [task, ...],
     "rows": [{"name": "tiny", "strategy": name, "seeds": [0, 1], "fast_1": estimate, "geomean_speedup": estimate,
               "difference": estimate | null, "ratio": estimate | null, "p_success": P | null, "p_log_speedup": P |
               null}]}

    P = {"p": x, "exact": bool, "p_error": x}

Runs of one policy that differ in their seed are one row. Tasks that not all rows have are left out. Differences and
ratios are to the first row of the same strategy, paired by task, each the mean over its seeds; P is the paired
randomisation test of the mean difference, which exchanges the two within tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log, nan

import numpy

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.report.analyses.base import Json
from pytest_kernelbench.report.analyses.estimates import (
    by_task,
    difference_over_tasks,
    estimate_over_tasks,
    exponential,
    rate_over_tasks,
)
from pytest_kernelbench.report.metrics import StrategyResults, speedup_of
from pytest_kernelbench.report.records import RunRecords, check_comparable, merged
from pytest_kernelbench.report.stats import sign_flip_test

MUST_AGREE = ("device", "protocol", "sizes")


def standings(runs: Mapping[str, RunRecords], *, mix: bool = False) -> Json:
    """``runs`` by folder. Raises UsageError where they cannot be compared."""
    check_comparable(runs, mix=mix, keys=MUST_AGREE)
    groups = _by_policy(runs, mix)
    task_sets = [{records.unit(name).task for name in records.tasks} for records in groups.values()]
    shared = set.intersection(*task_sets)
    if not shared:
        raise UsageError(f"{next(iter(runs))}: no task in common with all others; compare runs of the same tasks")
    rows: list[Json] = []
    first: dict[str, tuple[list[float], list[float]]] = {}
    for name, records in groups.items():
        for strategy in records.strategies:
            results = records.results(strategy)
            kept = replace(results, tasks=tuple(task for task in results.tasks if task.task in shared))
            if {task.task for task in kept.tasks} == shared:
                rows.append(
                    {"name": name, "strategy": strategy.name, "seeds": list(records.seeds), **_row(kept, first)}
                )
    return {"tasks": len(shared), "left_out": sorted(set.union(*task_sets) - shared), "rows": rows}


def _by_policy(runs: Mapping[str, RunRecords], mix: bool) -> dict[str, RunRecords]:
    """Seeds of one policy and one set of strategies are one study; what else differs is named by its folder."""
    found: dict[tuple[object, ...], dict[str, RunRecords]] = {}
    for folder, run in runs.items():
        key = (
            run.options.get("policy"),
            run.options.get("policy_version"),
            tuple(each.sha256 for each in run.strategies),
        )
        found.setdefault(key, {})[folder] = run
    groups: dict[str, RunRecords] = {}
    for (policy, *_), of_policy in found.items():
        seeds = [run.seed for run in of_policy.values()]
        if len(set(seeds)) < len(seeds):
            groups |= of_policy  # the same seed twice: two measurements, each a row of its own
            continue
        alone = [key for key in found if key[0] == policy]
        name = str(policy) if len(alone) == 1 else next(iter(of_policy))
        groups[name] = merged(of_policy, mix=mix)
    return groups


def _row(results: StrategyResults, first: dict[str, tuple[list[float], list[float]]]) -> Json:
    tasks_U = [task.task for task in results.tasks]
    chosen = [task.selection for task in results.tasks]
    speedups = [None if each is None else speedup_of(each) for each in chosen]
    fast_U = [float(each is not None and each.fast) if results.is_verifiable else nan for each in chosen]
    logs_U = [0.0 if each is None else log(each) for each in speedups]
    order = sorted(set(tasks_U))
    fast_T, logs_T = (_over_seeds(tasks_U, values, order) for values in (fast_U, logs_U))
    head: Json = {
        "fast_1": rate_over_tasks(tasks_U, fast_U),
        "geomean_speedup": exponential(estimate_over_tasks(tasks_U, logs_U)) if any(speedups) else None,
    }
    if results.strategy not in first:
        first[results.strategy] = (fast_T, logs_T)
        return {**head, **dict.fromkeys(("difference", "ratio", "p_success", "p_log_speedup"))}
    fast, logs = (
        numpy.subtract(mine, theirs) for mine, theirs in zip((fast_T, logs_T), first[results.strategy], strict=True)
    )
    known = not numpy.isnan(fast).any()
    return {
        **head,
        "difference": difference_over_tasks(order, fast),
        "ratio": exponential(estimate_over_tasks(order, logs)),
        "p_success": _p(fast.tolist(), results.seed) if known else None,
        "p_log_speedup": _p(logs.tolist(), results.seed),
    }


def _over_seeds(tasks_U: list[str], values_U: list[float], order: list[str]) -> list[float]:
    means = by_task(tasks_U, numpy.asarray(values_U, dtype=float))
    found = dict(zip(dict.fromkeys(tasks_U), means.tolist(), strict=True))
    return [found[task] for task in order]


def _p(differences: list[float], seed: int) -> Json | None:
    found = sign_flip_test(differences, seed=seed)
    return None if found is None else found._asdict()
