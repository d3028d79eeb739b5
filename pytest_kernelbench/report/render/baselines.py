"""Chosen kernels beside stronger baselines than eager PyTorch: in ``report.json``, the terminal and the tables."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import exp, log
from typing import Any

from pytest_kernelbench.records import AgainstBaseline
from pytest_kernelbench.report.metrics import (
    StrategyResults,
    TaskResults,
    fast_beside,
    geomean_beside,
    is_fast_beside,
    speedup_beside,
    was_timed_beside,
)
from pytest_kernelbench.report.render.cells import Table, on, rate_of, times_of, unit_label
from pytest_kernelbench.report.render.numbers import aligned, as_times, ends_of
from pytest_kernelbench.report.stats import Interval, carried_by, clustered_rate, mean_interval, warning_of

Report = Mapping[str, Any]


def baselines_of(options: Mapping[str, Any]) -> list[str]:
    """The names in ``run.json``; a run that names none was timed against eager PyTorch alone."""
    return str(options.get("baseline") or "eager").split(",")


def beside_json(results: StrategyResults, baselines: Sequence[str]) -> dict[str, Any]:
    """By stronger baseline: ``fast_1`` and ``geomean_speedup`` with intervals, and of how many tasks they are."""
    return {name: _figures(results, name) for name in baselines[1:] if was_timed_beside(results, name)}


def _figures(results: StrategyResults, baseline: str) -> dict[str, Any]:
    fast_U = [is_fast_beside(task, baseline) for task in results.tasks]
    logs_U = [None if (value := speedup_beside(task, baseline)) is None else log(value) for task in results.tasks]
    fast, logs = results.by_task(fast_U), results.by_task(logs_U)
    tasks = list(
        dict.fromkeys(task.task for task, value in zip(results.tasks, logs_U, strict=True) if value is not None)
    )
    carriers = [tasks[place] for place in carried_by(logs)]
    of_logs = None if carriers else mean_interval(logs)
    return {
        "fast_1": _estimate(fast_beside(results, baseline), clustered_rate(fast)),
        "geomean_speedup": _estimate(
            geomean_beside(results, baseline),
            None if of_logs is None else Interval(exp(of_logs.low), exp(of_logs.high)),
        ),
        "warning": warning_of(len(tasks), carriers) if tasks else None,
        "tasks": len(tasks),
        "without_baseline": len({task.task for task in results.tasks} - set(tasks)),
    }


def _estimate(value: float | None, interval: Interval | None) -> dict[str, float | None]:
    low, high = (None, None) if interval is None else interval
    return {"value": value, "low": low, "high": high}


def task_json(task: TaskResults, baselines: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By stronger baseline, the chosen kernel's timing beside it; empty if no kernel was chosen."""
    if task.selection is None or task.selection.index is None:
        return {}
    return {name: _one(task.against.get(name)) for name in baselines[1:]}


def _one(found: AgainstBaseline | None) -> dict[str, Any]:
    if found is None:
        return {"speedup": None, "low": None, "high": None, "verdict": "not timed", "because": ""}
    verdict = "no baseline" if found.failed == "baseline" else "fast" if found.counted else "not fast"
    told = {"speedup": found.speedup, "low": found.low, "high": found.high}
    return {**told, "verdict": verdict, "because": found.uncounted_because}


def null_json(themselves: Iterable[AgainstBaseline]) -> dict[str, dict[str, int]]:
    """By baseline, how often it was timed beside itself, and how often it then counted as fast."""
    found: dict[str, dict[str, int]] = {}
    for each in themselves:
        if each.failed is None:
            counts = found.setdefault(each.baseline, {"n": 0, "fast_1": 0})
            counts["n"] += 1
            counts["fast_1"] += each.counted
    return found


# The terminal


def baseline_lines(report: Report, width: int) -> list[str]:
    """For each stronger baseline, a table of choices and one of strategies; empty without such a baseline."""
    lines: list[str] = []
    for name in report["baselines"][1:]:
        table = [[f"against {name}", "chosen", "speed-up [95 %]", "verdict"]]
        remarks = []
        for unit, row, chosen_by in _choices(report, name):
            found = row["against"][name]
            label = unit_label(report, unit)
            table.append(
                [f"{label}{_by(chosen_by, report, width)}", f"#{row['index']}", _times(found), found["verdict"]]
            )
            if found["because"] and (found["high"] is None or found["high"] > 1):
                remarks.append(f"{label}: {found['because']}")
        if len(table) == 1:
            continue
        strategies = [[f"against {name}", "fast_1 [95 %]", "geomean [95 %]", "tasks"]]
        for strategy, each in report["strategies"].items():
            if figures := each["against"].get(name):
                strategies.append([strategy, *_cells(figures)])
                if figures["warning"] not in (None, each["warnings"].get("geomean_speedup")):
                    remarks.append(f"geomean of {strategy} against {name}: {figures['warning']}")
        wrapped = [part for line in remarks for part in textwrap.wrap(line, width, subsequent_indent="  ")]
        lines += [*([""] if lines else []), *aligned(table), "", *aligned(strategies), *wrapped]
        if null := report["null_of_baselines"].get(name):
            lines.append(f"null: {name} against itself is fast in {null['fast_1']} of {null['n']}")
    return lines


def _by(chosen_by: Sequence[str], report: Report, width: int) -> str:
    """The strategies of a choice, if there are several: in a third of the width, or their number if too long."""
    if len(report["strategies"]) == 1:
        return ""
    names = ", ".join(chosen_by)
    return f", {names}" if len(names) <= width // 3 else f", {len(chosen_by)} strategies"


def _choices(report: Report, baseline: str) -> Iterator[tuple[str, Mapping[str, Any], list[str]]]:
    """Each distinct choice beside the baseline, with the strategies that made it."""
    for unit in report["tasks"]:
        found: dict[int, tuple[Mapping[str, Any], list[str]]] = {}
        for strategy, each in report["strategies"].items():
            row = each["tasks"][unit]
            if baseline in row["against"]:
                found.setdefault(row["index"], (row, []))[1].append(strategy)
        for row, chosen_by in found.values():
            yield unit, row, chosen_by


def _times(found: Mapping[str, Any]) -> str:
    return as_times(found["speedup"], ends_of(found["low"], found["high"]))


def _cells(figures: Mapping[str, Any]) -> list[str]:
    without = figures["without_baseline"]
    of = f" of {figures['tasks'] + without}" if without else ""
    return [rate_of(figures["fast_1"]), times_of(figures["geomean_speedup"]), f"{figures['tasks']}{of}"]


# Tables


def baselines_table(report: Report) -> Table | None:
    """Every strategy beside every stronger baseline."""
    rows = [
        [f"{strategy}, {name}", *_cells(figures)]
        for strategy, each in report["strategies"].items()
        for name, figures in each["against"].items()
    ]
    caption = (
        "Chosen kernels against stronger baselines than eager PyTorch, by the judge's clock. Tasks on which a baseline "
        f"itself fails are left out. {on(report)}"
    )
    head = ["strategy, baseline", "fast_1 [95 %]", "geometric mean [95 %]", "tasks"]
    return Table(caption=caption, head=head, rows=rows)


def baseline_tasks_table(report: Report) -> Table | None:
    """Every choice beside every stronger baseline."""
    rows = [
        [f"{strategy}, {unit_label(report, unit)}, {name}", _times(found), found["verdict"], found["because"]]
        for strategy, each in report["strategies"].items()
        for unit, row in each["tasks"].items()
        for name, found in row["against"].items()
    ]
    caption = f"Every choice against stronger baselines than eager PyTorch, by the judge's clock. {on(report)}"
    head = ["strategy, task, baseline", "speed-up [95 %]", "verdict", "why it is not fast"]
    return Table(caption=caption, head=head, rows=rows)
