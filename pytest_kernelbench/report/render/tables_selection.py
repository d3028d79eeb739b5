"""Tables of selection: selectors and their controls, surprisal, and when to stop drawing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.report.render.cautions import cautioned
from pytest_kernelbench.report.render.cells import (
    Table,
    at_points,
    interval_of,
    on,
    p_of,
    points_of,
    powers,
    rate_of,
    rho_of,
    times_of,
)
from pytest_kernelbench.report.render.numbers import as_digits, as_percent, as_rate, as_times

Report = Mapping[str, Any]
SCORES = ("mean", "sum")


def selection_table(report: Report) -> Table | None:
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
        "programs, or over draws where the name says so."
        + cautioned(
            each[mean]
            for group in report["analyses"]["selection"]
            for each in group["selectors"].values()
            for mean in ("geomean_speedup", "mean_speedup")
        )
        + f" {on(report)}"
    )
    head = ["selector", "fast_1 [95 %]", "raw", "geometric mean", "mean", "sd over seeds"]
    return Table(caption=caption, head=head, rows=rows)


def comparisons_table(report: Report) -> Table | None:
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
        "comparison, and no p is adjusted for there being many."
        + cautioned(
            each["log_speedup"]["ratio"] for group in report["analyses"]["selection"] for each in group["comparisons"]
        )
        + f" {on(report)}"
    )
    head = ["selector - control", "tasks", "difference [95 %]", "p", "ratio [95 %]", "p", "h", "Wilcoxon p"]
    return Table(caption=caption, head=[*head, "won / lost / tied", "sign p"], rows=rows)


def _tested(test: Mapping[str, Any] | None) -> str:
    return "-" if test is None else p_of(test["p_two_sided"])


def _outcome(test: Mapping[str, Any]) -> str:
    return f"{test['wins']} / {test['losses']} / {test['ties']}"


def quartiles_table(report: Report) -> Table | None:
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
        for score in SCORES
        for each in group[how][score]
    ]
    caption = f"Correct candidates by quartile of surprisal, Q1 the most surprising. {on(report)}"
    head = ["quartile", "n", "fast_1 [95 %]", "raw", "geometric mean", "mean", "tokens"]
    return Table(caption=caption, head=head, rows=rows)


def correlation_table(report: Report) -> Table | None:
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


def regimes_table(report: Report) -> Table | None:
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


def prefilter_table(report: Report) -> Table | None:
    found = [each for each in report["analyses"]["prefilter"] if each["unit"] == "program"]
    sizes = powers(found, "m")
    rows = [
        [ranking, *at_points(readings["verified"], group["m"], sizes)]
        for group in found
        for ranking, readings in group["success"].items()
    ]
    caption = f"Evaluating only the first m distinct programs of a ranking: any verified fast one, in %. {on(report)}"
    return Table(caption=caption, head=["ranking", *(f"m = {m}" for m in sizes)], rows=rows)


def calibration_table(report: Report) -> Table | None:
    rows = [
        [
            f"{score}: decile {each['decile']}",
            str(each["programs"]),
            rate_of(each["fast_1"]),
            rate_of(each["fast_1_raw"]),
            times_of(each["geomean_speedup"]),
        ]
        for group in report["analyses"]["calibration"]
        for score in SCORES
        for each in group[score]
        if each["programs"]
    ]
    caption = "Distinct correct programs by decile of surprisal within their task, 1 the most surprising."
    deciles = [each for group in report["analyses"]["calibration"] for score in SCORES for each in group[score]]
    known = [each["geomean_speedup"] for each in deciles if each["geomean_speedup"] is not None]
    caption += cautioned(sorted(known, key=lambda each: each["tasks"])) + f" {on(report)}"
    return Table(caption=caption, head=["decile", "programs", "fast_1 [95 %]", "raw", "geometric mean"], rows=rows)


def margins_table(report: Report) -> Table | None:
    found = report["analyses"]["margins"]
    if found is None:
        return None
    rows = [[name, *(as_percent(value) for value in curve["value"])] for name, curve in found["strategies"].items()]
    caption = f"Tasks whose choice is verified fast, in %, by what its interval must exceed 1 by. {on(report)}"
    return Table(caption=caption, head=["strategy", *(f"{100 * margin:g} %" for margin in found["margin"])], rows=rows)


def adaptive_k_table(report: Report) -> Table | None:
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
        "Pandora: stop at a log speed-up above the reservation value. The gain in points, or in mean log speed-up."
        + cautioned(each["gain"] for group in report["analyses"]["adaptive_k"] for each in group["pandora"])
        + f" {on(report)}"
    )
    return Table(caption=caption, head=["rule", "answers", "reaches", "fixed K reaches", "gain [95 %]"], rows=rows)


def variance_table(report: Report) -> Table | None:
    """The hierarchical model over task, program and seed."""
    rows = [
        [
            ", ".join(group["strategies"]),
            str(group["tasks"]),
            str(group["programs"]),
            *("-" if sd is None else f"{sd:.3f}" for sd in group["sd"].values()),
            *("-" if sd is None else f"{sd:.3f}" for sd in group["sd_of_mean"].values()),
        ]
        for group in report["analyses"]["variance"]
    ]
    caption = (
        "Where log speed-ups of distinct correct programs vary: standard deviations between tasks, between the "
        "programs of a task and between the seeds of a program; and of the mean over as many tasks, or 2 or 4 times as "
        f"many, of one program each. {on(report)}"
    )
    head = ["candidates of", "tasks", "programs and seeds", "task", "program", "seed", "mean", "2x tasks", "4x tasks"]
    return Table(caption=caption, head=head, rows=rows)
