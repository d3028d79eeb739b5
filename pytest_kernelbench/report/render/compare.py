"""``python -m pytest_kernelbench compare A B``: two runs of the same tasks, before and after."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.records import Task
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.render.files import writing
from pytest_kernelbench.report.render.numbers import aligned, as_points, as_rate, as_times, counted

LEAST_TASKS = 6  # with fewer, no outcome of the signed-rank test is under 5 %


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", type=Path, metavar="A", help="a run folder")
    parser.add_argument("after", type=Path, metavar="B", help="a run folder of the same tasks and strategies")
    parser.add_argument("more", type=Path, nargs="*", metavar="C", help="more: other policies, models or seeds")
    parser.add_argument("--mix", action="store_true", help="compare runs of different devices, protocols or sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the comparison there too")


def run(options: argparse.Namespace) -> None:
    """Print the tasks that became faster or slower, were lost or gained from run A to run B, with intervals."""
    from pytest_kernelbench.report.analyses.comparison import compare_runs
    from pytest_kernelbench.report.analyses.standings import standings

    folders = [options.before, options.after, *options.more]
    for place, folder in enumerate(folders):
        if folder.resolve() in [each.resolve() for each in folders[:place]]:
            raise UsageError(f"{folder}: the same run twice; name two")
    runs = {str(folder): RunRecords.load(folder) for folder in folders}
    comparison = standings(runs, mix=options.mix) if options.more else compare_runs(runs, mix=options.mix)
    if options.json:
        with writing(options.json, "--json"):
            options.json.write_text(json.dumps(comparison, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    width = shutil.get_terminal_size().columns
    for line in standing_lines(comparison, width) if options.more else lines_of(comparison, *runs, width=width):
        print(line)


def lines_of(comparison: Mapping[str, Any], before: str, after: str, *, width: int) -> list[str]:
    """The comparison in plain lines, tasks that changed first. Sentences are wrapped at ``width`` columns."""
    lines = [f"A: {before}", f"B: {after}"]
    for name, each in comparison["strategies"].items():
        lines += ["", *_strategy(name, each, width)]
    for letter, tasks in zip("AB", comparison["only_in"], strict=True):
        if tasks:
            lines += ["", *textwrap.wrap(f"only in {letter}: {', '.join(tasks)}", width, break_on_hyphens=False)]
    return [*lines, "", *(f"note: {note}" for note in comparison["notes"])] if comparison["notes"] else lines


def standing_lines(found: Mapping[str, Any], width: int) -> list[str]:
    """A row for each policy and strategy, set beside the first, and remarks wrapped at ``width`` columns."""
    rows = [["strategy, policy", "seeds", "fast_1 [95 %]", "- first, points", "p", "geomean [95 %]", "/ first", "p"]]
    for row in found["rows"]:
        fast, speed, ratio = row["fast_1"], row["geomean_speedup"], row["ratio"]
        rows.append(
            [
                f"{row['strategy']}, {row['name']}",
                str(len(row["seeds"])),
                "-" if fast is None else as_rate(fast["value"], _ends(fast)),
                "" if row["difference"] is None else as_points(row["difference"]),
                _p(row["p_success"]),
                "-" if speed is None else as_times(speed["value"], _ends(speed)),
                "" if ratio is None else as_times(ratio["value"], _ends(ratio)),
                _p(row["p_log_speedup"]),
            ]
        )
    told = (
        f"{counted(found['tasks'], 'task')}, paired; p by exchanging the two policies within tasks, "
        "not adjusted for the number of comparisons"
    )
    left_out = (
        [f"left out, because not every run has them: {', '.join(found['left_out'])}"] if found["left_out"] else []
    )
    warnings = dict.fromkeys(
        row[name]["warning"] for row in found["rows"] for name in ("geomean_speedup", "ratio") if row[name]
    )
    notes = [part for line in (told, *left_out, *filter(None, warnings)) for part in textwrap.wrap(line, width)]
    return [*aligned(rows), *notes]


def _ends(estimate: Mapping[str, Any]) -> tuple[float, float] | None:
    return None if estimate["low"] is None else (estimate["low"], estimate["high"])


def _p(test: Mapping[str, Any] | None) -> str:
    return "" if test is None else f"{test['p']:.2g}"


def _strategy(name: str, each: Mapping[str, Any], width: int) -> list[str]:
    counts = ", ".join(f"{count} {change}" for change, count in each["counts"].items() if count)
    rows = [["", "change", "A", "B", "B / A [95 %]", "verdict"]]
    order = list(each["counts"])
    changed = sorted(each["tasks"].items(), key=lambda item: order.index(item[1]["change"]))
    for task, row in changed:
        if row["change"] == "neither":
            continue
        ratio = row["ratio"]
        interval = None if ratio is None or ratio["low"] is None else (ratio["low"], ratio["high"])
        verdicts = " -> ".join(dict.fromkeys(row["verdicts"]))
        rows.append(
            [
                Task(id=task, source="").short_id,
                row["change"],
                *(as_times(speedup) for speedup in row["speedup"]),
                as_times(None if ratio is None else ratio["value"], interval),
                verdicts,
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    fast, ratio = each["fast_1"], each["geomean_ratio"]
    difference = fast["difference"]
    verified = "nothing is verified: a protocol gives no intervals" if difference is None else None
    lines = [f"{name}: {counts}", *(table if len(rows) > 1 else [])]
    shown = verified or f"fast_1 {as_rate(fast['values'][0])} -> {as_rate(fast['values'][1])}"
    if difference is not None and difference["low"] is not None:
        shown += f", a difference of {as_points(difference)} points"
    if ratio is None:
        return lines + textwrap.wrap(f"{shown}; neither has a kernel", width)
    interval = None if ratio["low"] is None else (ratio["low"], ratio["high"])
    shown += f"; geometric mean of B / A {as_times(ratio['value'], interval)}"
    if each["wilcoxon"] is not None and each["wilcoxon"]["n"] >= LEAST_TASKS:
        shown += f", Wilcoxon p = {each['wilcoxon']['p']:.2g} of {each['wilcoxon']['n']} tasks"
    if ratio["warning"] is not None:
        shown += f" ({ratio['warning']})"
    return lines + textwrap.wrap(shown, width)
