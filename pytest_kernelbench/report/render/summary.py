"""A run as numbers: ``report.json``, from which every table is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, log
from pathlib import Path
from statistics import stdev
from typing import Any

from pytest_kernelbench.records import Task, json_text
from pytest_kernelbench.report.metrics import (
    METRICS,
    StrategyResults,
    TaskResults,
    correct_rates,
    floor_share_of,
    headroom_of,
    retained_speedup,
    sample_rates,
    selection_is_fast,
    sol_score_of,
    speedup_of,
    speedups,
)
from pytest_kernelbench.report.records import RunRecords, StrategyOfRun
from pytest_kernelbench.report.render.baselines import baselines_of, beside_json, null_json, task_json
from pytest_kernelbench.report.render.files import NOT_WRITTEN
from pytest_kernelbench.report.render.partial import partial_line
from pytest_kernelbench.report.render.samples import samples_of, sharing
from pytest_kernelbench.report.stats import (
    Interval,
    carried_by,
    clustered_rate,
    fixed_task_interval,
    fixed_warning_of,
    mean_interval,
    median_interval,
    warning_of,
)

SCHEMA = 3
OPTIONS = ("policy", "policy_label", "device", "protocol", "sizes", "margin", "seed")


def report_json(records: RunRecords) -> dict[str, Any]:
    """The content of all reports as JSON values; ``null`` if nothing was measured.

    ``tasks`` names the units that all else is listed by: tasks, or tasks with a seed, which ``units`` takes apart.
    ``strategies`` is by strategy; ``samples`` has one entry for each distinct set of candidates, which several
    strategies may share; ``analyses`` is described in ``pytest_kernelbench.report.analyses``. Intervals are 95 %, over
    tasks: exact for rates, at the effective number of tasks, order statistics for a median, the hull of Student's and
    Hall's for a mean; ``fixed_intervals`` are for these very tasks, from the spread between seeds. ``partial`` is one
    line about what is missing, or null.
    """
    from pytest_kernelbench.report.analyses import Study, analyses

    study = Study.of(records)
    baselines = baselines_of(records.options)
    results = {strategy: study.results[strategy.name] for strategy in records.strategies}
    return {
        "schema": SCHEMA,
        "partial": partial_line(records, list(results.values())),
        **{key: records.options.get(key) for key in OPTIONS},
        "tasks": list(records.tasks),
        "baselines": baselines,
        "units": {name: records.unit(name)._asdict() for name in records.tasks},
        "seeds": list(records.seeds),
        "strategies": {
            strategy.name: _strategy(strategy, results[strategy], records.tasks, baselines) for strategy in results
        },
        "samples": [samples_of(group, results, records) for group in sharing(results)],
        "null": _null(records, records.options.get("margin") or 0.0),
        "null_of_baselines": null_json(records.against_themselves.values()),
        "analyses": analyses(study),
        "preregistration": None,
        "findings": {task: each.remarks for task, each in records.findings.items()},
        "notes": [*records.notes, *_notable(records), *(records.options.get("remarks") or {}).values()],
    }


def _notable(records: RunRecords) -> list[str]:
    """A line for each task of which no claim counts, or that cannot be judged."""
    short = {task: Task(id=task, source="").short_id for task in records.findings}
    return [f"{short[task]}: {remark}" for task, each in records.findings.items() for remark in each.notable]


NOT_ASKED: dict[str, Any] = {
    **dict.fromkeys(("correct", "index", "floor_share", "headroom", "sol_score", "speedup", "low", "high")),
    "first_speedup": None,
    "drawn": 0,
    "judged": 0,
    "considered": [],
    "cost": {},
    "against": {},
    "confirmed": False,
    "verdict": "not asked",
}


def write(records: RunRecords, content: Mapping[str, Any], folder: Path) -> list[str]:
    """``report.json``. A metric or an analysis that another project added may give a number that JSON does not have:
    the line then names it.
    """
    file = folder / "report.json"
    try:
        text = json_text(content, indent=1)
    except ValueError as error:
        return [f"{file}: {NOT_WRITTEN} ({error})"]
    file.write_text(text + "\n", encoding="utf-8")
    return []


def _strategy(
    strategy: StrategyOfRun, results: StrategyResults, units: Sequence[str], baselines: Sequence[str]
) -> dict[str, Any]:
    return {
        "sha256": strategy.sha256,
        "k": strategy.k,
        "metrics": _metrics(results),
        "intervals": _intervals(results),
        "fixed_intervals": _fixed(results),
        "warnings": _warnings(results),
        **_over_seeds(results),
        "against": beside_json(results, baselines),
        "retained_speedup": retained_speedup(results),
        "tasks": {**dict.fromkeys(units, NOT_ASKED), **{task.unit: _task(task, baselines) for task in results.tasks}},
    }


def _metrics(results: StrategyResults) -> dict[str, float | None]:
    return {name: metric(results) for name, metric in METRICS.items()}


def _over_seeds(results: StrategyResults) -> dict[str, Any]:
    """Each seed's metrics and their standard deviation; nothing where there is one seed."""
    seeds = sorted({task.seed for task in results.tasks if task.seed is not None})
    if len(seeds) < 2:
        return {}
    by_seed = {
        str(seed): _metrics(replace(results, tasks=tuple(task for task in results.tasks if task.seed == seed)))
        for seed in seeds
    }
    spread = {}
    for name in METRICS:
        values = [value for metrics in by_seed.values() if (value := metrics[name]) is not None]
        spread[name] = stdev(values) if len(values) > 1 else None
    return {"seeds": by_seed, "sd_over_seeds": spread}


def _task(task: TaskResults, baselines: Sequence[str]) -> dict[str, Any]:
    chosen = task.selection
    row: dict[str, Any] = {
        "drawn": len(task.samples),
        "judged": len(task.evaluations),
        "correct": task.n_correct if task.evaluations else None,
        "verdict": task.verdict,
        "index": None if chosen is None else chosen.index,
        "considered": [] if chosen is None else list(chosen.considered),
        "cost": {} if chosen is None else dict(chosen.cost),
        "floor_share": floor_share_of(task),
        "headroom": headroom_of(task),
        "sol_score": sol_score_of(task),
        "against": task_json(task, baselines),
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


# Rates of samples, and what is told beside each baseline, have intervals of their own.
OF_OTHERS = ("_sample", "_sample_raw", "_compile")


def _intervals(results: StrategyResults) -> dict[str, list[float] | None]:
    fast = [name for name in METRICS if name.startswith("fast_") and not name.endswith(OF_OTHERS)]
    intervals = {name: _of_rate(results, name) for name in ("solved", "any_correct", *fast)}
    for name in ("fast_1_sample", "fast_1_sample_raw"):
        rates = sample_rates(results, 1.0, verified=not name.endswith("_raw"))
        intervals[name] = clustered_rate(results.by_task(rates))
    intervals["correct"] = clustered_rate(results.by_task(correct_rates(results)))
    logs = mean_interval(results.by_task([log(each) for each in speedups(results)]))
    intervals["geomean_speedup"] = None if logs is None else Interval(exp(logs.low), exp(logs.high))
    mean = mean_interval(results.by_task(speedups(results)))
    intervals["mean_speedup"] = None if mean is None else Interval(max(mean.low, 0.0), mean.high)  # no time is negative
    several = any(task.seed is not None for task in results.tasks)
    intervals["median_speedup"] = None if several else median_interval(speedups(results))
    for name in _not_relied_on(results):
        intervals[name] = None
    return {name: None if each is None else list(each) for name, each in intervals.items()}


def _not_relied_on(results: StrategyResults) -> list[str]:
    """Means that one or two tasks carry, or that nothing was measured of: no interval of theirs holds."""
    if METRICS["geomean_speedup"](results) is None:
        return ["geomean_speedup", "mean_speedup", "median_speedup"]
    carried = {
        "geomean_speedup": carried_by(results.by_task([log(each) for each in speedups(results)])),
        "mean_speedup": carried_by(results.by_task(speedups(results))),
    }
    return [name for name, places in carried.items() if places]


def _warnings(results: StrategyResults) -> dict[str, str]:
    """By metric, why its interval is missing or unreliable; ``fixed_...``: the same for these very tasks."""
    if METRICS["geomean_speedup"](results) is None:
        return {}
    tasks = list(dict.fromkeys(task.task for task in results.tasks))
    values = {"geomean_speedup": [log(each) for each in speedups(results)], "mean_speedup": speedups(results)}
    found = {}
    for name, values_U in values.items():
        carriers = [tasks[place] for place in carried_by(results.by_task(values_U))]
        found[name] = warning_of(len(tasks), carriers)
    if _fixed(results)["geomean_speedup"] is not None:
        found["fixed_geomean_speedup"] = fixed_warning_of(len(results.tasks))
    return {name: warning for name, warning in found.items() if warning is not None}


def _fixed(results: StrategyResults) -> dict[str, list[float] | None]:
    """Intervals for these very tasks, from the spread between their seeds; None where there is one seed."""
    found: dict[str, Interval | None] = {}
    for name in ("fast_1", "fast_1_raw"):
        verified = not name.endswith("_raw")
        votes = [float(selection_is_fast(task.selection, 1.0, results.margin, verified)) for task in results.tasks]
        found[name] = (
            fixed_task_interval(results.seeds_by_task(votes)) if results.is_verifiable or not verified else None
        )
        rates = sample_rates(results, 1.0, verified=verified)
        found[name.replace("fast_1", "fast_1_sample")] = fixed_task_interval(results.seeds_by_task(rates))
    logs = fixed_task_interval(results.seeds_by_task([log(each) for each in speedups(results)]))
    found["geomean_speedup"] = None if logs is None else Interval(exp(logs.low), exp(logs.high))
    return {name: None if each is None else list(each) for name, each in found.items()}


def _of_rate(results: StrategyResults, name: str) -> Interval | None:
    """Interval of a rate over tasks, and over the seeds of a task; None if it was not measured."""
    if METRICS[name](results) is None:
        return None
    alone = [METRICS[name](replace(results, tasks=(task,))) for task in results.tasks]
    # Alone, a task that was not judged has no rate of samples, and one whose choice was not timed again no verdict.
    of_choice = name.startswith(("fast_", "solved")) and "_any" not in name
    return clustered_rate(results.by_task([0.0 if each is None and of_choice else each for each in alone]))


def _null(records: RunRecords, margin: float) -> dict[str, Any] | None:
    nulls = records.nulls
    if nulls is None:
        return None
    n = len(nulls)
    verified = sum(each.fast(1.0, margin) for each in nulls)
    raw = sum(each.fast_raw(1.0) for each in nulls)
    successes_T, trials_T = records.null_counts(lambda each: each.fast(1.0, margin))
    interval = clustered_rate(successes_T, trials_T) if n else None
    return {
        "n": n,
        "tasks": len(trials_T),
        "not_correct": sum(not each.correct for each in nulls),
        "fast_1": verified,
        "fast_1_raw": raw,
        "false_positive_rate": verified / n if n else None,
        "interval": None if interval is None else list(interval),
        "speedups": [
            {"value": each.counted_speedup, "low": each.counted_low, "high": each.counted_high}
            for each in nulls
            if each.counted_speedup is not None
        ],
    }
