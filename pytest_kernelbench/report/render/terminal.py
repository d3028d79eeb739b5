"""The report at the end of a pytest run, as plain lines."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from pytest_kernelbench.records import Task
from pytest_kernelbench.report.metrics import THRESHOLDS
from pytest_kernelbench.report.render.baselines import baseline_lines
from pytest_kernelbench.report.render.cautions import interval_warnings
from pytest_kernelbench.report.render.numbers import (
    GAP,
    aligned,
    as_percent,
    as_rate,
    as_times,
    counted,
    ends_of,
)
from pytest_kernelbench.report.render.primary import primary_lines
from pytest_kernelbench.report.render.terminal_adaptation import adaptation_lines, transfer_lines
from pytest_kernelbench.report.render.terminal_costs import cost_lines

LEAST_WIDTH = 80


def render(report: dict[str, Any], *, width: int) -> list[str]:
    """The lines of a ``report_json``. What can be wrapped fits ``width`` columns."""
    width = max(width, LEAST_WIDTH)
    blocks = [
        _header(report, width),
        primary_lines(report, width),
        _tasks(report, width) if len(report["seeds"]) == 1 else _tasks_over_seeds(report, width),
        _strategies(report, width),
        baseline_lines(report, width),
        _fast_p(report),
        *cost_lines(report, width),
        *(_samples(report, each, width) for each in report["samples"]),
        *(adaptation_lines(each, report, width) for each in report["analyses"]["adaptation"] or ()),
        transfer_lines(report, width),
        _remarks(report, width),
    ]
    lines = []
    for block in blocks:
        if block:
            lines += [*block, ""]
    return [line.rstrip() for line in lines[:-1]]


def _header(report: dict[str, Any], width: int) -> list[str]:
    facts = [
        counted(len({unit["task"] for unit in report["units"].values()}), "task"),
        len(report["seeds"]) > 1 and f"{len(report['seeds'])} seeds",
        report["policy"] and f"policy {report['policy']}",
        report["device"],
        report["sizes"] and f"{report['sizes']} sizes",
        report["protocol"] and f"protocol {report['protocol']}",
        report["margin"] is not None and f"margin {100 * report['margin']:g} %",
    ]
    lines = textwrap.wrap(report["partial"], width, subsequent_indent="  ") if report["partial"] else []
    lines += textwrap.wrap(", ".join(str(fact) for fact in facts if fact), width)
    return lines + (textwrap.wrap(report["policy_label"], width) if report["policy_label"] else [])


def _tasks(report: dict[str, Any], width: int) -> list[str]:
    """A line for each distinct choice on a task, with the strategies that made it."""
    names = list(report["strategies"])
    if not names or not report["tasks"]:
        return []
    rows: list[tuple[Any, ...]] = []
    for task in report["tasks"]:
        choices: dict[tuple[str, ...], list[str]] = {}
        for name in names:
            choices.setdefault(_choice(report["strategies"][name]["tasks"][task]), []).append(name)
        shown_task, shown_correct = task, ""
        for (correct, *choice), chosen_by in choices.items():
            repeated = correct if correct != shown_correct else ""
            rows.append((shown_task, repeated, *choice, chosen_by))
            shown_task, shown_correct = "", correct
    heads = ("correct", "chosen", "floor", "at most", "speed-up [95 %]", "verdict")
    widths = [max(len(head), *(len(row[i + 1]) for row in rows)) for i, head in enumerate(heads)]
    several = len(names) > 1
    # The floor's columns only where a floor is known and the names of the strategies leave them room.
    room = width - sum(widths) - len(GAP) * (len(widths) + several) - (max(map(len, names)) if several else 0)
    if all(row[4] == "-" for row in rows) or room < max(
        len(Task(id=task, source="").short_id) for task in report["tasks"]
    ):
        heads, widths = heads[:2] + heads[4:], widths[:2] + widths[4:]
        rows = [row[:3] + row[5:] for row in rows]
    fixed = sum(widths) + len(GAP) * (len(widths) + several)
    by_width = 0
    if several:
        wanted = max(len(_names(row[-1], names)) for row in rows)
        left = width - fixed - max(len(Task(id=task, source="").short_id) for task in report["tasks"])
        by_width = max(*map(len, names), min(wanted, width // 3, left))
    labels = _labels(report["tasks"], width - fixed - by_width)
    task_width = max(len("task"), *map(len, labels.values()))
    by_width = max(by_width, width - fixed - task_width)
    lines = [_line("task", heads, widths, task_width) + (GAP + "by" if several else "")]
    for task, *cells, chosen_by in rows:
        wrapped = textwrap.wrap(_names(chosen_by, names), by_width, break_on_hyphens=False) if several else [""]
        lines.append(_line(labels.get(task, ""), cells, widths, task_width) + GAP + wrapped[0])
        indent = " " * len(_line("", [""] * len(widths), widths, task_width))
        lines += [indent + GAP + more for more in wrapped[1:]]
    if any(_first_only(row) for each in report["strategies"].values() for row in each["tasks"].values()):
        lines.append("* no second timing: the first one chose the candidate and is biased upwards")
    if "at most" in heads:
        lines.append("at most: the largest speed-up that the floor allows")
    return lines


def _tasks_over_seeds(report: dict[str, Any], width: int) -> list[str]:
    """How often each strategy's choice was fast, a column a task; as many tables as the width needs."""
    units = report["units"]
    tasks = list(dict.fromkeys(unit["task"] for unit in units.values()))
    heads = {task: Task(id=task, source="").short_id for task in tasks}
    levels = {head.partition("/")[0] for head in heads.values()}
    if len(levels) == 1:
        heads = {task: head.partition("/")[2] or head for task, head in heads.items()}
    first = f"fast, of {len(report['seeds'])} seeds" + (f": {levels.pop()}" if len(levels) == 1 else "")
    names_width = max(len(first), *map(len, report["strategies"]), 0)
    column = len(GAP) + max(map(len, heads.values()), default=1)
    at_once = max(1, (width - names_width) // column)
    lines: list[str] = []
    for start in range(0, len(tasks), at_once):
        shown = tasks[start : start + at_once]
        table = [[first, *(heads[task] for task in shown)]]
        for name, each in report["strategies"].items():
            fast = [units[unit]["task"] for unit, row in each["tasks"].items() if row["verdict"] == "fast"]
            table.append([name, *(str(fast.count(task)) for task in shown)])
        lines += [*([""] if lines else []), *aligned(table)]
    return lines


def _names(chosen_by: Sequence[str], names: Sequence[str]) -> str:
    return f"all {len(names)}" if len(chosen_by) == len(names) > 2 else ", ".join(chosen_by)


def _choice(row: dict[str, Any]) -> tuple[str, ...]:
    if row["verdict"] == "not asked":
        return "-", "-", "-", "-", "-", row["verdict"]
    at_most = as_times(row["headroom"])
    correct = f"{'-' if row['correct'] is None else row['correct']}/{row['judged'] or row['drawn']}"
    if row["index"] is None:
        return correct, "-", "-", at_most, "-", row["verdict"]
    speedup = _speedup(row) + ("*" if _first_only(row) else "")
    return correct, f"#{row['index']}", as_rate(row["floor_share"]), at_most, speedup, row["verdict"]


def _first_only(row: dict[str, Any]) -> bool:
    return row["speedup"] is not None and not row["confirmed"]


def _labels(tasks: Sequence[str], room: int) -> dict[str, str]:
    """``level1/12 Matmul_with_diag…`` in at most ``room`` columns; the number alone where no name fits."""
    labels = {}
    for task in tasks:
        short = Task(id=task, source="").short_id
        name = task[len(short) :].strip("_")
        space = room - len(short) - 1
        if len(name) > space:
            name = name[: space - 1] + "…" if space >= 8 else ""
        labels[task] = f"{short} {name}".rstrip()
    return labels


def _line(first: str, cells: Sequence[str], widths: Sequence[int], first_width: int) -> str:
    """Counts and indices to the right, text to the left."""
    counts = len(cells) - 2
    numbers = [cell.rjust(width) for cell, width in zip(cells[:counts], widths, strict=False)]
    words = [cell.ljust(width) for cell, width in zip(cells[counts:], widths[counts:], strict=True)]
    return GAP.join([first.ljust(first_width), *numbers, *words])


def _strategies(report: dict[str, Any], width: int) -> list[str]:
    table = [["strategy", "fast_1 [95 %]", "raw", "geomean [95 %]", "median", "mean", "kept"]]
    for name, each in report["strategies"].items():
        metrics, intervals = each["metrics"], each["intervals"]
        table.append(
            [
                name,
                as_rate(metrics["fast_1"], intervals["fast_1"]),
                as_rate(metrics["fast_1_raw"]),
                as_times(metrics["geomean_speedup"], intervals["geomean_speedup"]),
                as_times(metrics["median_speedup"]),
                as_times(metrics["mean_speedup"]),
                as_rate(each["retained_speedup"]),
            ]
        )
    if len(table) == 1:
        return []
    told = [
        part
        for line in interval_warnings(report["strategies"])
        for part in textwrap.wrap(line, width, subsequent_indent="  ")
    ]
    return [*aligned(table), "kept: second timing's speed-up / first's; under 100 %: the first was lucky", *told]


def _fast_p(report: dict[str, Any]) -> list[str]:
    table = [["fast_p, %: verified / raw", *(f"p = {p:g}" for p in THRESHOLDS)]]
    for name, each in report["strategies"].items():
        metrics = each["metrics"]
        rates = [(metrics[f"fast_{p:g}"], metrics[f"fast_{p:g}_raw"]) for p in THRESHOLDS]
        shown = [" / ".join("-" if rate is None else as_percent(rate) for rate in both) for both in rates]
        table.append([name, *shown])
    return aligned(table) if len(table) > 1 else []


def _samples(report: dict[str, Any], samples: dict[str, Any], width: int) -> list[str]:
    names = samples["strategies"]
    metrics = report["strategies"][names[0]]["metrics"]
    intervals = report["strategies"][names[0]]["intervals"]
    of = "" if len(report["samples"]) == 1 else f" ({', '.join(names)})"
    drawn = samples["drawn"]
    lines = textwrap.wrap(
        f"samples{of}: {drawn} drawn, {samples['judged']} judged{_on_some(samples)}, "
        f"correct {as_rate(metrics['correct'], intervals['correct'])}, "
        f"any correct {as_rate(metrics['any_correct'])} of tasks",
        width,
    )
    lines += _lost(samples, width)
    other = samples["only_trained_on"]
    if other and other["units"]:
        lines.append(
            f"beside them, to train on {counted(len(other['units']), 'other task')}: "
            f"{other['drawn']} drawn, {other['judged']} judged"
        )
    k, least = samples["k"], samples["k_least"]
    table = [["fast_1", "per sample [95 %]", f"any of {k if k == least else f'{least} to {k}'} [95 %]"]]
    for label, reading in (("verified", ""), ("raw", "_raw")):
        row = [f"fast_1_{of}{reading}" for of in ("sample", "any")]
        table.append([label, *(as_rate(metrics[name], intervals[name]) for name in row)])
    lines += aligned(table)
    curve = samples["any_of_k"]
    if len(curve) > 1:
        table = [["any of K, %", *(str(point["k"]) for point in curve)]]
        for label, key in (("verified", "fast_1"), ("raw", "fast_1_raw"), ("coin flip", "coin_flip")):
            table.append([label, *("-" if point[key] is None else as_percent(point[key]) for point in curve)])
        lines += ["", *aligned(table)]
    if samples["void"]:
        counts = ", ".join(f"{flag} {count}" for flag, count in samples["void"].items())
        lines += [
            "",
            *textwrap.wrap(f"void: {samples['outcomes']['void']} of {samples['judged']} ({counts})", width),
        ]
    return lines


def _lost(samples: dict[str, Any], width: int) -> list[str]:
    """Counts of answers without a candidate, by reason, and of answers that ran out of tokens."""
    lines = []
    if reasons := samples["no_source"]:
        counts = "; ".join(f"{reason}: {n}" for reason, n in reasons.items())
        lines.append(f"no source: {sum(reasons.values())} of {samples['judged']} answers ({counts})")
    cut_off = samples["cut_off"]
    if cut_off["n"]:
        at = f" at {cut_off['at']} tokens" if cut_off["at"] else ""
        lines.append(f"cut off{at}: {cut_off['n']} of {samples['drawn']} answers; a larger max_tokens may help")
    return [part for line in lines for part in textwrap.wrap(line, width, subsequent_indent="  ")]


def _on_some(samples: dict[str, Any]) -> str:
    """Rates of samples are over the tasks that have any judged ones."""
    return "" if samples["units_judged"] == samples["units"] else f" on {samples['units_judged']} of {samples['units']}"


def _remarks(report: dict[str, Any], width: int) -> list[str]:
    lines = []
    null = report["null"]
    if null is not None:
        rate = f" ({as_rate(null['false_positive_rate'], null['interval'])})" if null["n"] else ""
        bad = f"; {null['not_correct']} judged not correct" if null["not_correct"] else ""
        lines.append(
            f"null: the reference against itself is fast in {null['fast_1']} of {null['n']}{rate}, "
            f"raw {null['fast_1_raw']} of {null['n']}{bad}"
        )
    rows = [row for each in report["strategies"].values() for row in each["tasks"].values()]
    if any(row["verdict"] == "missing" for row in rows):
        lines.append("missing: the run holds no choice for these tasks; they count as not fast")
    lines += [f"note: {note}" for note in report["notes"]]
    return [part for line in lines for part in textwrap.wrap(line, width, subsequent_indent="  ")]


def _speedup(row: dict[str, Any]) -> str:
    return as_times(row["speedup"], ends_of(row["low"], row["high"]))
