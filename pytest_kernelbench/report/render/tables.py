"""``tables/``: the tables of a run for papers, each as Markdown and as LaTeX (booktabs), all from ``report.json``.

To add a table: write a function of the report that returns a ``Table``, or None where it has nothing to say, and
add its line to ``TABLES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_kernelbench.report.metrics import THRESHOLDS
from pytest_kernelbench.report.records import RunRecords
from pytest_kernelbench.report.render.baselines import baseline_tasks_table, baselines_table
from pytest_kernelbench.report.render.cautions import cautioned
from pytest_kernelbench.report.render.cells import (
    Table,
    at_points,
    number_of,
    on,
    points_of,
    powers,
    rate_of,
    times_of,
    unit_label,
)
from pytest_kernelbench.report.render.numbers import (
    as_amount,
    as_digits,
    as_percent,
    as_rate,
    as_times,
    ends_of,
    last_point,
)
from pytest_kernelbench.report.render.tables_adaptation import (
    adaptation_table,
    coverage_table,
    equal_budget_table,
    learning_rates_table,
    probe_table,
    transfer_table,
)
from pytest_kernelbench.report.render.tables_selection import (
    adaptive_k_table,
    calibration_table,
    comparisons_table,
    correlation_table,
    margins_table,
    prefilter_table,
    quartiles_table,
    regimes_table,
    selection_table,
    variance_table,
)

Report = Mapping[str, Any]


def write(records: RunRecords, content: Mapping[str, Any], folder: Path) -> list[str]:
    """Write ``tables/NAME.md`` and ``tables/NAME.tex`` for each table that has rows."""
    there = folder / "tables"
    for name, table in tables_of(content).items():
        there.mkdir(exist_ok=True)
        (there / f"{name}.md").write_text(as_markdown(table), encoding="utf-8")
        (there / f"{name}.tex").write_text(as_latex(table, name), encoding="utf-8")
    return []


def tables_of(report: Report) -> dict[str, Table]:
    found = {name: make(report) for name, make in TABLES.items()}
    return {name: table for name, table in found.items() if table is not None and table.rows}


def as_markdown(table: Table) -> str:
    rows = [table.head, ["---", *["---:"] * (len(table.head) - 1)], *table.rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([table.caption, "", *lines]) + "\n"


def as_latex(table: Table, label: str) -> str:
    """Needs the package booktabs, and longtable for one that is longer than a page."""
    columns = f"{{l{'r' * (len(table.head) - 1)}}}"
    caption = rf"\caption{{{_latex(table.caption)}}}\label{{tab:{label}}}"
    head = [r"\toprule", _row(table.head), r"\midrule"]
    rows = [_row(row) for row in table.rows]
    if len(rows) > ROWS_OF_A_PAGE:
        begin = [rf"\begin{{longtable}}{columns}", rf"{caption} \\", *head, r"\endhead", r"\bottomrule", r"\endfoot"]
        return "\n".join([*begin, *rows, r"\end{longtable}", ""])
    begin = [r"\begin{table}", r"\centering", r"\small", caption, rf"\begin{{tabular}}{columns}", *head]
    return "\n".join([*begin, *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


ROWS_OF_A_PAGE = 45


def _row(cells: Sequence[str]) -> str:
    row = " & ".join(map(_latex, cells)) + r" \\"
    # After the end of a row, a bracket would be taken for how much space to leave.
    return "{}" + row if row.startswith("[") else row


def _latex(text: str) -> str:
    return "".join(LATEX.get(sign, f"\\{sign}" if sign in "&%$#_{}" else sign) for sign in text)


LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": "$<$",
    ">": "$>$",
    "∞": r"$\infty$",
    "\n": " ",
}


def _strategies(report: Report) -> Table | None:
    several = len(report["seeds"]) > 1
    has_floor = any(each["metrics"]["floor_share"] is not None for each in report["strategies"].values())
    rows = []
    for name, each in report["strategies"].items():
        metrics, intervals = each["metrics"], each["intervals"]
        spread = [points_of(each["sd_over_seeds"]["fast_1"]), fixed_of(each)] if several else []
        rows.append(
            [
                name,
                as_rate(metrics["fast_1"], intervals["fast_1"]),
                *spread,
                as_rate(metrics["fast_1_raw"]),
                as_rate(metrics["fast_1_sample"], intervals["fast_1_sample"]),
                as_rate(metrics["fast_1_any"], intervals["fast_1_any"]),
                as_times(metrics["geomean_speedup"], intervals["geomean_speedup"]),
                as_times(metrics["median_speedup"]),
                as_times(metrics["mean_speedup"]),
                *([as_rate(metrics["floor_share"])] if has_floor else []),
            ]
        )
    head = [
        "strategy",
        "fast_1 [95 %]",
        *(["sd over seeds", "these very tasks"] if several else []),
        "raw",
        "per sample",
        "any of K",
    ]
    head += ["geometric mean", "median", "mean", *(["of the floor"] if has_floor else [])]
    caption = "Chosen kernels, timed again: fast_1 verified, and raw as the literature counts."
    if several:
        caption += " Intervals are for other tasks such as these; of these very tasks, from the spread between seeds."
    return Table(caption=f"{caption} {on(report)}", head=head, rows=rows)


def fixed_of(strategy: Mapping[str, Any]) -> str:
    """The interval of fast_1 for these very tasks; ``-`` if there are too few seeds."""
    ends = strategy["fixed_intervals"]["fast_1"]
    return "-" if ends is None else f"[{as_percent(max(ends[0], 0.0))}, {as_percent(min(ends[1], 1.0))}]"


def _fast_p(report: Report) -> Table | None:
    rows = [
        [name, *(_both(each["metrics"], f"fast_{p:g}") for p in THRESHOLDS)]
        for name, each in report["strategies"].items()
    ]
    caption = f"fast_p of the chosen kernels, verified / raw, in %. {on(report)}"
    return Table(caption=caption, head=["strategy", *(f"p = {p:g}" for p in THRESHOLDS)], rows=rows)


def _both(metrics: Mapping[str, float | None], name: str) -> str:
    return " / ".join("-" if (rate := metrics[key]) is None else as_percent(rate) for key in (name, f"{name}_raw"))


def _scaling(report: Report) -> Table | None:
    """Each rule's success at powers of two, the null and the identity control below."""
    rows = []
    sizes = powers(report["analyses"]["scaling"], "k")
    for each in report["analyses"]["scaling"]:
        for rule, readings in each["success"].items():
            for reading, curve in readings.items():
                saturated = each["saturation_k"][rule][reading]
                worth = "" if rule == "any" else _worth(each["equivalent_k"][rule][reading], each["k"][-1])
                cells = [*at_points(curve, each["k"], sizes), "-" if saturated is None else str(saturated), worth]
                rows.append([f"{rule}, {reading}", *cells])
        rows.append(["coin flip", *at_points({"value": each["coin_flip"]}, each["k"], sizes), "", ""])
        if each["identity"] is not None:
            for reading in ("verified", "raw"):
                cells = at_points(each["identity"][reading], each["k"], sizes)
                rows.append([f"reference against itself, {reading}", *cells, "", ""])
    caption = (
        "Success by number of candidates K, in %, exact over subsets; the K that reaches 95 % of the last; and for how "
        f"large a K any of K is as good as the last, where a single K can be said. {on(report)}"
    )
    head = ["of the correct among K", *map(str, sizes), "95 % of the last at", "worth any of [95 %]"]
    return Table(caption=caption, head=head, rows=rows)


def _worth(equivalent: Mapping[str, Any], n: int) -> str:
    if equivalent["refusal"] is not None:
        return "-"
    if equivalent["k"] is None:
        return f">{n}"
    shown = as_digits(equivalent["k"])
    if equivalent["low"] is None:
        return shown
    return (
        f"{shown} [{as_digits(equivalent['low'])}, {f'>{n}' if equivalent['open'] else as_digits(equivalent['high'])}]"
    )


def _cost(report: Report) -> Table | None:
    rows = [
        [
            name,
            *(number_of(each[cost]) for cost in COSTS),
            rate_of(each["fast_1"]),
            times_of(each["geomean_speedup"]),
        ]
        for name, each in report["analyses"]["cost"]["strategies"].items()
    ]
    caption = (
        "What each strategy spent on a task, what it held out or only trained on included, and got. Tokens: generated, "
        "of prompts, read by a teacher, read by updates. Seconds: of sampling, of evaluation, of updates."
        + cautioned(each["geomean_speedup"] for each in report["analyses"]["cost"]["strategies"].values())
        + f" {on(report)}"
    )
    head = [
        "strategy",
        "rollouts",
        "tokens",
        "prompts'",
        "teacher's",
        "updates'",
        "timed",
        "sampling s",
        "evaluation s",
        "update s",
    ]
    return Table(caption=caption, head=[*head, "fast_1 [95 %]", "geometric mean"], rows=rows)


COSTS = (
    *("rollouts", "generated_tokens", "prompt_tokens", "teacher_tokens", "update_tokens", "timed"),
    *("sampling_seconds", "evaluation_seconds", "adaptation_seconds"),
)


def _budget(report: Report) -> Table | None:
    rows = []
    for axis, each in (report["analyses"].get("budget") or {}).items():
        for strategy, curves in each["strategies"].items():
            found = [last_point(curves[key]) for key in ("verified", "geomean_speedup")]
            rows.append([f"{strategy}, {as_amount(each['budget'][-1])} {axis}", rate_of(found[0]), times_of(found[1])])
    caption = (
        "What each strategy's candidates had reached within one budget a task, the most that every strategy spent: a "
        "verified fast one, and the geometric mean of the best speed-up."
        + cautioned(
            curves["geomean_speedup"]
            for each in (report["analyses"].get("budget") or {}).values()
            for curves in each["strategies"].values()
        )
        + f" {on(report)}"
    )
    return Table(caption=caption, head=["strategy, budget", "any verified [95 %]", "geometric mean [95 %]"], rows=rows)


def _tasks(report: Report) -> Table | None:
    rows = []
    for name, each in report["strategies"].items():
        for unit, row in each["tasks"].items():
            correct = f"{'-' if row['correct'] is None else row['correct']}/{row['judged'] or row['drawn']}"
            remarks = "; ".join(report["findings"].get(report["units"][unit]["task"], []))
            rows.append(
                [
                    f"{name}, {unit_label(report, unit)}",
                    correct,
                    as_times(row["speedup"], ends_of(row["low"], row["high"])),
                    row["verdict"],
                    remarks,
                ]
            )
    caption = f"Every choice. {on(report)}"
    head = ["strategy, task", "correct", "speed-up [95 %]", "verdict", "of the reference"]
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return Table(caption=caption, head=head, rows=rows)


TABLES: dict[str, Callable[[Report], Table | None]] = {
    "strategies": _strategies,
    "fast_p": _fast_p,
    "scaling": _scaling,
    "selection": selection_table,
    "comparisons": comparisons_table,
    "quartiles": quartiles_table,
    "calibration": calibration_table,
    "correlation": correlation_table,
    "regimes": regimes_table,
    "prefilter": prefilter_table,
    "adaptive_k": adaptive_k_table,
    "margins": margins_table,
    "variance": variance_table,
    "adaptation": adaptation_table,
    "transfer": transfer_table,
    "probe": probe_table,
    "coverage": coverage_table,
    "learning_rates": learning_rates_table,
    "cost": _cost,
    "equal_budget": equal_budget_table,
    "budget": _budget,
    "baselines": baselines_table,
    "baseline_tasks": baseline_tasks_table,
    "tasks": _tasks,
}
