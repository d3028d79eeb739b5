"""When to stop drawing: stopping rules on stored candidates, beside a fixed K that takes as many answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log
from typing import TYPE_CHECKING, Any

from pytest_kernelbench.report.render.cautions import cautioned
from pytest_kernelbench.report.render.figures.labels import labels_beside
from pytest_kernelbench.report.render.figures.style import (
    SERIES,
    Drawing,
    NotDrawn,
    finish,
    legend_below,
    log_axis,
    new_figure,
    percent_axis,
    y_label,
)
from pytest_kernelbench.report.render.numbers import scope

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RULES = {
    "posterior": ("success", "fixed_success", "Beta posterior"),
    "pandora": ("geomean_speedup", "fixed_geomean_speedup", "Pandora's box"),
}


def draw(report: Mapping[str, Any]) -> Drawing:
    sets = report["analyses"]["adaptive_k"]
    if not sets:
        raise NotDrawn("it takes two tasks whose candidates were timed")
    found = max(sets, key=lambda one: one["units"])
    rules = [rule for rule in RULES if found[rule]]
    figure, axes = new_figure(len(rules), height=3.0)
    for axis, rule in zip(axes, rules, strict=True):
        _rule(axis, found[rule], rule)
        axis.set_title(RULES[rule][2])
    legend_below(figure, axes, 2)
    caption = (
        f"Replayed on stored candidates, exact over orders; {scope(report)}. Labels: the cost of an answer, in fast "
        "kernels or in nats of speed-up, at which the rule stops. Vertical: the fixed K plus the 95 % interval of the "
        "paired gain. Beta posterior: stop at a verified fast one or when the next is fast with less chance than its "
        "cost. Pandora's box: stop at a speed-up over the reservation value."
        + cautioned(row["gain"] for row in found["pandora"])
    )
    return finish(figure, _title(found, rules), caption)


def _rule(axis: Axes, rows: Sequence[Mapping[str, Any]], rule: str) -> None:
    reached, fixed, _ = RULES[rule]
    scale = 100 if rule == "posterior" else 1
    answers = [row["answers"] for row in rows]
    axis.plot(
        answers,
        [scale * row[fixed] for row in rows],
        SERIES[1].marker,
        color=SERIES[1].color,
        mfc="white",
        label="a fixed K of as many answers",
    )
    for row in rows:
        if row["gain"] and row["gain"]["low"] is not None:
            ends = [_with_gain(row, fixed, row["gain"][end], rule) for end in ("low", "high")]
            axis.plot([row["answers"]] * 2, [scale * end for end in ends], color=SERIES[0].color, linewidth=1)
    axis.plot(
        answers, [scale * row[reached] for row in rows], SERIES[0].marker, color=SERIES[0].color, label="the rule"
    )
    axis.margins(x=0.1)
    log_axis(axis, "answers drawn a task, mean")
    if rule == "posterior":
        percent_axis(axis, "tasks with a verified fast one, %")
    else:
        y_label(axis, "best speed-up, geometric mean")
    labels_beside(axis, [(row["answers"], scale * row[reached], f"cost {row['cost']:g}") for row in rows])


def _with_gain(row: Mapping[str, Any], fixed: str, gain: float, rule: str) -> float:
    return min(1.0, max(0.0, row[fixed] + gain)) if rule == "posterior" else exp(log(row[fixed]) + gain)


def _title(found: Mapping[str, Any], rules: Sequence[str]) -> str:
    better, worse = set(), set()
    for rule in rules:
        for row in found[rule]:
            gain = row["gain"]
            if gain and gain["low"] is not None and gain["low"] > 0:
                better.add(RULES[rule][2])
            if gain and gain["high"] is not None and gain["high"] < 0:
                worse.add(RULES[rule][2])
    ahead = [name for _, _, name in RULES.values() if name in better - worse]
    if not ahead:
        return "No stopping rule is told apart from a fixed K of as many answers"
    return f"Ahead of a fixed K of as many answers at some cost: {' and '.join(ahead)}"
