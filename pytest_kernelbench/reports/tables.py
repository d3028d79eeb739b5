"""``tables/``: the tables of a run for papers, each as Markdown and as LaTeX (booktabs), all from ``report.json``.

To add a table: write a function of the report that returns a ``Table``, or None where it has nothing to say, and
add its line to ``TABLES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_kernelbench.metrics import THRESHOLDS
from pytest_kernelbench.records import Task
from pytest_kernelbench.reports.numbers import as_digits, as_percent, as_rate, as_times, last_point
from pytest_kernelbench.runs import RunRecords

Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """``caption`` says what the numbers are; the first column of ``rows`` is text, the others are numbers."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


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
        spread = [_points(each["sd_over_seeds"]["fast_1"])] if several else []
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
    return Table(caption=f"{caption} {_on(report)}", head=head, rows=rows)


def _fast_p(report: Report) -> Table | None:
    rows = [
        [name, *(_both(each["metrics"], f"fast_{p:g}") for p in THRESHOLDS)]
        for name, each in report["strategies"].items()
    ]
    caption = f"fast_p of the chosen kernels, verified / raw, in %. {_on(report)}"
    return Table(caption=caption, head=["strategy", *(f"p = {p:g}" for p in THRESHOLDS)], rows=rows)


def _both(metrics: Mapping[str, float | None], name: str) -> str:
    return " / ".join("-" if (rate := metrics[key]) is None else as_percent(rate) for key in (name, f"{name}_raw"))


def _scaling(report: Report) -> Table | None:
    """Each rule's success at powers of two, the null and the identity control below."""
    rows = []
    sizes = _powers(report["analyses"]["scaling"], "k")
    for each in report["analyses"]["scaling"]:
        for rule, readings in each["success"].items():
            for reading, curve in readings.items():
                saturated = each["saturation_k"][rule][reading]
                worth = "" if rule == "any" else _worth(each["equivalent_k"][rule][reading], each["k"][-1])
                cells = [*_at(curve, each["k"], sizes), "-" if saturated is None else str(saturated), worth]
                rows.append([f"{rule}, {reading}", *cells])
        rows.append(["coin flip", *_at({"value": each["coin_flip"]}, each["k"], sizes), "", ""])
        if each["identity"] is not None:
            for reading in ("verified", "raw"):
                cells = _at(each["identity"][reading], each["k"], sizes)
                rows.append([f"reference against itself, {reading}", *cells, "", ""])
    caption = (
        "Success by number of candidates K, in %, exact over subsets; the K that reaches 95 % of the last; and for how "
        f"large a K any of K is as good as the last, where a single K can be said. {_on(report)}"
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
            _rate(each["fast_1"]),
            _rate(each["fast_1_raw"]),
            _times(each["geomean_speedup"]),
            _times(each["mean_speedup"]),
            _points(each["sd_over_seeds"]["fast_1"]),
        ]
        for group in report["analyses"]["selection"]
        for name, each in group["selectors"].items()
    ]
    caption = (
        "Every selector replayed on the same candidates, by first timings; random ones exactly, over distinct "
        f"programs, or over draws where the name says so. {_on(report)}"
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
                    "-" if rates["difference"] is None else _points(rates["difference"]["value"], rates["difference"]),
                    _tested(rates["test"]),
                    _times(logs["ratio"]),
                    _tested(logs["test"]),
                    "-" if rates["cohens_h"] is None else f"{rates['cohens_h']:.2f}",
                    "-" if paper["wilcoxon"] is None else _p(paper["wilcoxon"]["p"]),
                    _outcome(paper["sign"]),
                    _p(paper["sign"]["p_two_sided"]),
                ]
            )
    caption = (
        "Selectors against their controls, over distinct programs unless -draws is said: verified fast_1 in points and "
        "the ratio of speed-ups, each with the p of the randomisation test within tasks, two-sided. Beside them the "
        "paper's: Cohen's h; Wilcoxon's signed ranks of log ratios, which assumes that they are symmetric around 0; "
        "raw tasks won / lost / tied by the sign test, which assumes even bets. All are secondary but the primary "
        f"comparison, and no p is adjusted for there being many. {_on(report)}"
    )
    head = ["selector - control", "tasks", "difference [95 %]", "p", "ratio [95 %]", "p", "h", "Wilcoxon p"]
    return Table(caption=caption, head=[*head, "won / lost / tied", "sign p"], rows=rows)


def _tested(test: Mapping[str, Any] | None) -> str:
    return "-" if test is None else _p(test["p_two_sided"])


def _outcome(test: Mapping[str, Any]) -> str:
    return f"{test['wins']} / {test['losses']} / {test['ties']}"


def _quartiles(report: Report) -> Table | None:
    rows = [
        [
            f"{how.replace('_', ' ')}, {score}: Q{each['quartile']}",
            str(each["n"]),
            _rate(each["fast_1"]),
            _rate(each["fast_1_raw"]),
            as_times(each["geomean_speedup"]),
            as_times(each["mean_speedup"]),
            "-" if each["mean_tokens"] is None else as_digits(each["mean_tokens"]),
        ]
        for group in report["analyses"]["quartiles"]
        for how in ("pooled", "within_task")
        for score in ("mean", "sum")
        for each in group[how][score]
    ]
    caption = f"Correct candidates by quartile of surprisal, Q1 the most surprising. {_on(report)}"
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
                    _rho(pooled["rho"], pooled["p"]),
                    _rho(pooled["partial_rho"], pooled["partial_p"]),
                    _rho(pooled["length_rho"], pooled["length_p"]),
                    _interval(within["rho"]),
                    _interval(within["partial_rho"]),
                ]
            )
        for of in ("code", "tempered"):
            for score, other in (group[of] or {}).items():
                pooled_rho, within_rho = _rho(other["rho"], other["p"]), _interval(other["within_task_rho"])
                rows.append([f"{score}, {of}", str(other["n"]), pooled_rho, "-", "-", within_rho, "-"])
    caption = (
        "Spearman's rank correlation of log-probability and speed-up among correct candidates (p), with length held "
        "fixed, and of length and speed-up; pooled, where p takes candidates of one task for independent, and as the "
        "mean within tasks [95 %]. Of the answer at temperature 1; code: of its code alone; tempered: at the "
        f"temperature sampled at. {_on(report)}"
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
        f"0.15). {_on(report)}"
    )
    return Table(caption=caption, head=["spread", "tasks", *REGIME_SELECTORS], rows=rows)


def _percent_of(selector: Mapping[str, Any] | None) -> str:
    return "-" if selector is None or selector["fast_1"] is None else as_percent(selector["fast_1"])


REGIME_SELECTORS = ("oracle", "random", "surprisal", "surprisal-top3", "confidence", "confidence-top3")


def _prefilter(report: Report) -> Table | None:
    found = [each for each in report["analyses"]["prefilter"] if each["unit"] == "program"]
    sizes = _powers(found, "m")
    rows = [
        [ranking, *_at(readings["verified"], group["m"], sizes)]
        for group in found
        for ranking, readings in group["success"].items()
    ]
    caption = f"Evaluating only the first m distinct programs of a ranking: any verified fast one, in %. {_on(report)}"
    return Table(caption=caption, head=["ranking", *(f"m = {m}" for m in sizes)], rows=rows)


def _adaptation(report: Report) -> Table | None:
    rows = []
    for each in report["analyses"]["adaptation"] or ():
        for number in each["steps"]:
            rows.append(
                [
                    f"{each['strategy']}, step {number}",
                    _rate(_point(each["per_sample"]["verified"], number)),
                    _rate(_point(each["per_sample"]["raw"], number)),
                    _rate(_point(each["any_of_k"]["verified"], number)),
                    _rate(_point(each["correct"], number)),
                    _number(each["kl"][number]),
                    _number(each["entropy"][number]),
                ]
            )
    flat = [
        f"{each['strategy']}: equal rates at all steps have p = {_p(test['p'])}"
        for each in report["analyses"]["adaptation"] or ()
        if (test := each["flat_test"]["verified"]) is not None
    ]
    caption = f"Adaptation by step. {'; '.join(flat)}{'. ' if flat else ''}{_on(report)}"
    head = ["step", "per sample [95 %]", "raw", "any of the step's", "correct", "KL, nats/token", "entropy"]
    return Table(caption=caption, head=head, rows=rows)


def _transfer(report: Report) -> Table | None:
    found = report["analyses"]["transfer"] or {"sets": {}, "rows": []}
    rows = []
    for row in found["rows"]:
        for name, cell in row["cells"].items():
            for of in () if "refusal" in cell else ("per_sample", "any_of_k"):
                sides = [cell[of][reading] for reading in ("verified", "raw")]
                on = f"{name} (trained on{', step chosen by it' if row['chosen_on_itself'] else ''})"
                label = f"any of {row['rollouts']}" if of == "any_of_k" else "per sample"
                rows.append(
                    [
                        f"{row['strategy']} on {on if cell['trained'] else name}, {label}",
                        str(cell["tasks"]),
                        *(_rate(sides[0][side]) for side in ("base", "adapted")),
                        _points(sides[0]["difference"]["value"], sides[0]["difference"]),
                        *(_rate(sides[1][side]) for side in ("base", "adapted")),
                        _points(sides[1]["difference"]["value"], sides[1]["difference"]),
                    ]
                )
    caption = (
        "Before and after adaptation, on the tasks that were trained on and on others: the same tasks, as many answers "
        f"each, one session, first timings; differences in points. {_on(report)}"
    )
    head = ["adapted, evaluated", "tasks", "base [95 %]", "adapted [95 %]", "difference [95 %]"]
    return Table(caption=caption, head=[*head, "base, raw", "adapted, raw", "difference, raw"], rows=rows)


def _cost(report: Report) -> Table | None:
    rows = [
        [
            name,
            *(_number(each[cost]) for cost in COSTS),
            _rate(each["fast_1"]),
            _times(each["geomean_speedup"]),
        ]
        for name, each in report["analyses"]["cost"]["strategies"].items()
    ]
    caption = (
        "What each strategy spent on a task, what it held out or only trained on included, and got. Tokens: generated, "
        f"read by a teacher, read by updates. Seconds: of sampling, of evaluation, of updates. {_on(report)}"
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


def _equal_budget(report: Report) -> Table | None:
    rows = []
    for each in report["analyses"]["cost"]["equal_budget"]:
        for reading in () if "refusal" in each else ("verified", "raw"):
            both = each[reading]
            rows.append(
                [
                    f"{each['strategy']}, {reading}",
                    str(each["rollouts"]),
                    str(each["step"]),
                    _rate(both["adapted"]),
                    _rate(both["searched"]),
                    _points(both["difference"]["value"], both["difference"]),
                ]
            )
    caption = (
        "Any fast among the rollouts of the first steps of adaptation, against any among as many answers of the policy "
        f"as loaded, on first timings; the difference in points. {_on(report)}"
    )
    head = ["strategy", "rollouts", "to step", "adapted [95 %]", "searched [95 %]", "difference [95 %]"]
    return Table(caption=caption, head=head, rows=rows)


def _budget(report: Report) -> Table | None:
    rows = []
    for axis, each in (report["analyses"].get("budget") or {}).items():
        for strategy, curves in each["strategies"].items():
            found = [last_point(curves[key]) for key in ("verified", "geomean_speedup")]
            rows.append([f"{strategy}, {as_digits(each['budget'][-1])} {axis}", _rate(found[0]), _times(found[1])])
    caption = (
        "What each strategy's candidates had reached within one budget a task, the most that every strategy spent: a "
        f"verified fast one, and the geometric mean of the best speed-up. {_on(report)}"
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
    caption = f"Every choice. {_on(report)}"
    return Table(caption=caption, head=["strategy, task", "correct", "speed-up [95 %]", "verdict"], rows=rows)


TABLES: dict[str, Callable[[Report], Table | None]] = {
    "strategies": _strategies,
    "fast_p": _fast_p,
    "scaling": _scaling,
    "selection": _selection,
    "comparisons": _comparisons,
    "quartiles": _quartiles,
    "correlation": _correlation,
    "regimes": _regimes,
    "prefilter": _prefilter,
    "adaptation": _adaptation,
    "transfer": _transfer,
    "cost": _cost,
    "equal_budget": _equal_budget,
    "budget": _budget,
    "tasks": _tasks,
}


def _on(report: Report) -> str:
    tasks = len({each["task"] for each in report["units"].values()})
    seeds = len(report["seeds"])
    facts = [
        f"{tasks} task{'' if tasks == 1 else 's'}",
        f"{seeds} seeds" if seeds > 1 else f"seed {report['seeds'][0]}",
        report["policy"] and f"policy {report['policy']}",
        report["device"],
        report["sizes"] and f"{report['sizes']} sizes",
    ]
    return ", ".join(str(fact) for fact in facts if fact) + "."


def _powers(groups: Sequence[Mapping[str, Any]], axis: str) -> list[int]:
    largest = max((each[axis][-1] for each in groups), default=0)
    return [1 << power for power in range(largest.bit_length())]


def _at(curve: Mapping[str, Any], axis: Sequence[int], points: Sequence[int]) -> Iterator[str]:
    places = {point: place for place, point in enumerate(axis)}
    shown = {point: curve["value"][places[point]] for point in points if point in places}
    return ("" if point not in shown else "-" if shown[point] is None else as_percent(shown[point]) for point in points)


def _point(curve: Mapping[str, Any], place: int) -> dict[str, Any] | None:
    if curve["value"][place] is None:
        return None
    return {name: None if values is None else values[place] for name, values in curve.items()}


def _ends(estimate: Mapping[str, float]) -> tuple[float, float] | None:
    return None if estimate["low"] is None else (estimate["low"], estimate["high"])


def _rate(estimate: Mapping[str, float] | None) -> str:
    return "-" if estimate is None else as_rate(estimate["value"], _ends(estimate))


def _times(estimate: Mapping[str, float] | None) -> str:
    return "-" if estimate is None else as_times(estimate["value"], _ends(estimate))


def _interval(estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return "-"
    ends = _ends(estimate)
    return f"{estimate['value']:.2f}" + ("" if ends is None else f" [{ends[0]:.2f}, {ends[1]:.2f}]")


def _points(value: float | None, estimate: Mapping[str, float] | None = None) -> str:
    if value is None:
        return "-"
    ends = None if estimate is None else _ends(estimate)
    return f"{100 * value:.1f}" + ("" if ends is None else f" [{100 * ends[0]:.0f}, {100 * ends[1]:.0f}]")


def _rho(rho: float | None, p: float | None) -> str:
    return "-" if rho is None or p is None else f"{rho:.3f} ({_p(p)})"


def _p(p: float) -> str:
    return f"{p:.2g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else as_digits(value)
