"""``tables/``: the tables of a run for papers, each as Markdown and as LaTeX (booktabs), all from ``report.json``.

To add a table: write a function of the report that returns a ``Table``, or None where it has nothing to say, and
add its line to ``TABLES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_kernelbench.metrics import THRESHOLDS
from pytest_kernelbench.records import Task
from pytest_kernelbench.reports.cells import (
    Table,
    at_points,
    interval_of,
    number_of,
    on,
    p_of,
    points_of,
    powers,
    rate_of,
    rho_of,
    times_of,
)
from pytest_kernelbench.reports.numbers import as_digits, as_percent, as_rate, as_times, last_point
from pytest_kernelbench.reports.tables_adaptation import (
    adaptation_table,
    equal_budget_table,
    learning_rates_table,
    transfer_table,
)
from pytest_kernelbench.runs import RunRecords

Report = Mapping[str, Any]


def write(records: RunRecords, content: Mapping[str, Any], folder: Path) -> list[str]:
    """``tables/NAME.md`` and ``tables/NAME.tex`` for each table that says something."""
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
    "\n": " ",
}


def _strategies(report: Report) -> Table | None:
    several = len(report["seeds"]) > 1
    has_floor = any(each["metrics"]["floor_share"] is not None for each in report["strategies"].values())
    rows = []
    for name, each in report["strategies"].items():
        metrics, intervals = each["metrics"], each["intervals"]
        spread = [points_of(each["sd_over_seeds"]["fast_1"])] if several else []
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
    head = ["strategy", "fast_1 [95 %]", *(["sd over seeds"] if several else []), "raw", "per sample", "any of K"]
    head += ["geometric mean", "median", "mean", *(["of the floor"] if has_floor else [])]
    caption = "Chosen kernels, timed again: fast_1 verified, and raw as the literature counts."
    return Table(caption=f"{caption} {on(report)}", head=head, rows=rows)


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


def _selection(report: Report) -> Table | None:
    rows = [
        [
            name,
            rate_of(each["fast_1"]),
            rate_of(each["fast_1_raw"]),
            times_of(each["geomean_speedup"]),
            times_of(each["mean_speedup"]),
            points_of(each["sd_over_seeds"]["fast_1"]),
        ]
        for group in report["analyses"]["selection"]
        for name, each in group["selectors"].items()
    ]
    caption = (
        "Every selector replayed on the same candidates, by first timings; random ones exactly, over distinct "
        f"programs, or over draws where the name says so. {on(report)}"
    )
    head = ["selector", "fast_1 [95 %]", "raw", "geometric mean", "mean", "sd over seeds"]
    return Table(caption=caption, head=head, rows=rows)


def _comparisons(report: Report) -> Table | None:
    rows = []
    for group in report["analyses"]["selection"]:
        for each in group["comparisons"]:
            rates, logs, paper = each["verified"], each["log_speedup"], each["paper"]
            rows.append(
                [
                    f"{each['selector']} - {each['control']}",
                    str(each["tasks"]),
                    "-"
                    if rates["difference"] is None
                    else points_of(rates["difference"]["value"], rates["difference"]),
                    _tested(rates["test"]),
                    times_of(logs["ratio"]),
                    _tested(logs["test"]),
                    "-" if rates["cohens_h"] is None else f"{rates['cohens_h']:.2f}",
                    "-" if paper["wilcoxon"] is None else p_of(paper["wilcoxon"]["p"]),
                    _outcome(paper["sign"]),
                    p_of(paper["sign"]["p_two_sided"]),
                ]
            )
    caption = (
        "Selectors against their controls, over distinct programs unless -draws is said: verified fast_1 in points and "
        "the ratio of speed-ups, each with the p of the randomisation test within tasks, two-sided. Beside them the "
        "paper's: Cohen's h; Wilcoxon's signed ranks of log ratios, which assumes that they are symmetric around 0; "
        "raw tasks won / lost / tied by the sign test, which assumes even bets. All are secondary but the primary "
        f"comparison, and no p is adjusted for there being many. {on(report)}"
    )
    head = ["selector - control", "tasks", "difference [95 %]", "p", "ratio [95 %]", "p", "h", "Wilcoxon p"]
    return Table(caption=caption, head=[*head, "won / lost / tied", "sign p"], rows=rows)


def _tested(test: Mapping[str, Any] | None) -> str:
    return "-" if test is None else p_of(test["p_two_sided"])


def _outcome(test: Mapping[str, Any]) -> str:
    return f"{test['wins']} / {test['losses']} / {test['ties']}"


def _quartiles(report: Report) -> Table | None:
    rows = [
        [
            f"{how.replace('_', ' ')}, {score}: Q{each['quartile']}",
            str(each["n"]),
            rate_of(each["fast_1"]),
            rate_of(each["fast_1_raw"]),
            as_times(each["geomean_speedup"]),
            as_times(each["mean_speedup"]),
            "-" if each["mean_tokens"] is None else as_digits(each["mean_tokens"]),
        ]
        for group in report["analyses"]["quartiles"]
        for how in ("pooled", "within_task")
        for score in ("mean", "sum")
        for each in group[how][score]
    ]
    caption = f"Correct candidates by quartile of surprisal, Q1 the most surprising. {on(report)}"
    head = ["quartile", "n", "fast_1 [95 %]", "raw", "geometric mean", "mean", "tokens"]
    return Table(caption=caption, head=head, rows=rows)


def _correlation(report: Report) -> Table | None:
    rows = []
    for group in report["analyses"]["correlation"]:
        for score, pooled in group["pooled"].items():
            within = group["within_task"][score]
            rows.append(
                [
                    score,
                    str(group["n"]),
                    rho_of(pooled["rho"], pooled["p"]),
                    rho_of(pooled["partial_rho"], pooled["partial_p"]),
                    rho_of(pooled["length_rho"], pooled["length_p"]),
                    interval_of(within["rho"]),
                    interval_of(within["partial_rho"]),
                ]
            )
        for of in ("code", "tempered"):
            for score, other in (group[of] or {}).items():
                pooled_rho, within_rho = rho_of(other["rho"], other["p"]), interval_of(other["within_task_rho"])
                rows.append([f"{score}, {of}", str(other["n"]), pooled_rho, "-", "-", within_rho, "-"])
    caption = (
        "Spearman's rank correlation of log-probability and speed-up among correct candidates (p), with length held "
        "fixed, and of length and speed-up; pooled, where p takes candidates of one task for independent, and as the "
        "mean within tasks [95 %]. Of the answer at temperature 1; code: of its code alone; tempered: at the "
        f"temperature sampled at. {on(report)}"
    )
    head = ["log-probability", "n", "pooled", "partial", "length", "within task", "within task, partial"]
    return Table(caption=caption, head=head, rows=rows)


def _regimes(report: Report) -> Table | None:
    rows = [
        [
            regime,
            str(each["tasks"]),
            *(_percent_of(each["selectors"].get(name)) for name in REGIME_SELECTORS),
        ]
        for group in report["analyses"]["regimes"]
        for regime, each in group["regimes"].items()
    ]
    caption = (
        "Verified fast_1 in %, by the spread of summed log-probabilities within a task (high: over 1 nat; flat: under "
        f"0.15). {on(report)}"
    )
    return Table(caption=caption, head=["spread", "tasks", *REGIME_SELECTORS], rows=rows)


def _percent_of(selector: Mapping[str, Any] | None) -> str:
    return "-" if selector is None or selector["fast_1"] is None else as_percent(selector["fast_1"])


REGIME_SELECTORS = ("oracle", "random", "surprisal", "surprisal-top3", "confidence", "confidence-top3")


def _prefilter(report: Report) -> Table | None:
    found = [each for each in report["analyses"]["prefilter"] if each["unit"] == "program"]
    sizes = powers(found, "m")
    rows = [
        [ranking, *at_points(readings["verified"], group["m"], sizes)]
        for group in found
        for ranking, readings in group["success"].items()
    ]
    caption = f"Evaluating only the first m distinct programs of a ranking: any verified fast one, in %. {on(report)}"
    return Table(caption=caption, head=["ranking", *(f"m = {m}" for m in sizes)], rows=rows)


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
        f"read by a teacher, read by updates. Seconds: of sampling, of evaluation, of updates. {on(report)}"
    )
    head = [
        "strategy",
        "rollouts",
        "tokens",
        "teacher's",
        "updates'",
        "timed",
        "sampling s",
        "evaluation s",
        "update s",
    ]
    return Table(caption=caption, head=[*head, "fast_1 [95 %]", "geometric mean"], rows=rows)


COSTS = (
    *("rollouts", "generated_tokens", "teacher_tokens", "update_tokens", "timed"),
    *("sampling_seconds", "evaluation_seconds", "adaptation_seconds"),
)


def _budget(report: Report) -> Table | None:
    rows = []
    for axis, each in (report["analyses"].get("budget") or {}).items():
        for strategy, curves in each["strategies"].items():
            found = [last_point(curves[key]) for key in ("verified", "geomean_speedup")]
            rows.append([f"{strategy}, {as_digits(each['budget'][-1])} {axis}", rate_of(found[0]), times_of(found[1])])
    caption = (
        "What each strategy's candidates had reached within one budget a task, the most that every strategy spent: a "
        f"verified fast one, and the geometric mean of the best speed-up. {on(report)}"
    )
    return Table(caption=caption, head=["strategy, budget", "any verified [95 %]", "geometric mean [95 %]"], rows=rows)


def _tasks(report: Report) -> Table | None:
    rows = []
    for name, each in report["strategies"].items():
        for unit, row in each["tasks"].items():
            task, seed = report["units"][unit]["task"], report["units"][unit]["seed"]
            label = Task(id=task, source="").short_id + ("" if seed is None else f", seed {seed}")
            interval = None if row["low"] is None else (row["low"], row["high"])
            correct = f"{'-' if row['correct'] is None else row['correct']}/{row['judged'] or row['drawn']}"
            rows.append([f"{name}, {label}", correct, as_times(row["speedup"], interval), row["verdict"]])
    caption = f"Every choice. {on(report)}"
    return Table(caption=caption, head=["strategy, task", "correct", "speed-up [95 %]", "verdict"], rows=rows)


def _calibration(report: Report) -> Table | None:
    rows = [
        [
            f"{score}: decile {each['decile']}",
            str(each["programs"]),
            rate_of(each["fast_1"]),
            rate_of(each["fast_1_raw"]),
            times_of(each["geomean_speedup"]),
        ]
        for group in report["analyses"]["calibration"]
        for score in ("mean", "sum")
        for each in group[score]
        if each["programs"]
    ]
    caption = f"Distinct correct programs by decile of surprisal within their task, 1 the most surprising. {on(report)}"
    return Table(caption=caption, head=["decile", "programs", "fast_1 [95 %]", "raw", "geometric mean"], rows=rows)


def _margins(report: Report) -> Table | None:
    found = report["analyses"]["margins"]
    if found is None:
        return None
    rows = [[name, *(as_percent(value) for value in curve["value"])] for name, curve in found["strategies"].items()]
    caption = f"Tasks whose choice is verified fast, in %, by what its interval must exceed 1 by. {on(report)}"
    return Table(caption=caption, head=["strategy", *(f"{100 * margin:g} %" for margin in found["margin"])], rows=rows)


def _adaptive_k(report: Report) -> Table | None:
    rows = []
    for group in report["analyses"]["adaptive_k"]:
        for each in group["posterior"]:
            gain = points_of(each["gain"]["value"], each["gain"])
            sides = (as_rate(each[side]) for side in ("success", "fixed_success"))
            rows.append([f"posterior, cost {each['cost']:g}", f"{each['answers']:.1f}", *sides, gain])
        for each in group["pandora"]:
            sides = (as_times(each[side]) for side in ("geomean_speedup", "fixed_geomean_speedup"))
            rows.append(
                [f"Pandora, cost {each['cost']:g}", f"{each['answers']:.1f}", *sides, interval_of(each["gain"])]
            )
    caption = (
        "Stopping rules replayed on what was drawn, exact over orders, beside a fixed K that takes as many answers on "
        "average. Posterior: stop at a verified fast one, or when the next is fast with less chance than the cost. "
        "Pandora: stop at a log speed-up above the reservation value. The gain in points, or in mean log speed-up. "
        f"{on(report)}"
    )
    return Table(caption=caption, head=["rule", "answers", "reaches", "fixed K reaches", "gain [95 %]"], rows=rows)


TABLES: dict[str, Callable[[Report], Table | None]] = {
    "strategies": _strategies,
    "fast_p": _fast_p,
    "scaling": _scaling,
    "selection": _selection,
    "comparisons": _comparisons,
    "quartiles": _quartiles,
    "calibration": _calibration,
    "correlation": _correlation,
    "regimes": _regimes,
    "prefilter": _prefilter,
    "adaptive_k": _adaptive_k,
    "margins": _margins,
    "adaptation": adaptation_table,
    "transfer": transfer_table,
    "learning_rates": learning_rates_table,
    "cost": _cost,
    "equal_budget": equal_budget_table,
    "budget": _budget,
    "tasks": _tasks,
}
