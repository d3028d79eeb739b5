"""What success costs: strategies against answers, tokens and seconds, with plain best-of-K as the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.reports.figures.style import (
    NULL,
    SERIES,
    Drawing,
    NotDrawn,
    finish,
    log_axis,
    new_figure,
    percent_axis,
)
from pytest_kernelbench.reports.numbers import scope

COSTS = {
    "rollouts": "answers drawn a task",
    "generated_tokens": "tokens generated a task",
    "evaluation_seconds": "seconds of evaluation a task",
}
BESIDE = 1.08  # strategies of one cost are drawn side by side, this far apart


def draw(report: Mapping[str, Any]) -> Drawing:
    cost = report["analyses"]["cost"]
    strategies = {name: each for name, each in (cost or {"strategies": {}})["strategies"].items() if each["fast_1"]}
    shown = [key for key in COSTS if any(each[key] for each in strategies.values())]
    if not shown:
        raise NotDrawn("no strategy has a result")
    figure, axes = new_figure(len(shown), height=3.4, width=2.6 * len(shown) if len(shown) > 1 else None)
    for axis, key in zip(axes, shown, strict=True):
        for each in cost["search"]:
            points = [(point[key], 100 * point["any_verified"]) for point in each["points"] if point[key]]
            if points:
                axis.plot(
                    *zip(*points, strict=True), color=NULL.color, linestyle=NULL.dash, label="best of K, first timings"
                )
        for number, (name, each) in enumerate(strategies.items()):
            if not each[key]:
                continue
            series = SERIES[number % len(SERIES)]
            fast = each["fast_1"]
            x = each[key] * BESIDE ** (number - (len(strategies) - 1) / 2)
            if fast["low"] is not None and fast["high"] is not None:
                axis.plot([x, x], [100 * fast["low"], 100 * fast["high"]], color=series.color, linewidth=0.9)
            filled = series.color if each["on_frontier"].get(key) else "white"
            axis.plot(x, 100 * fast["value"], series.marker, color=series.color, mfc=filled, label=name)
        axis.margins(x=0.15)
        log_axis(axis, COSTS[key])
        percent_axis(axis, "tasks verified fast, %" if axis is axes[0] else "")
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    best = sorted(name for name, each in strategies.items() if each["on_frontier"].get("rollouts"))
    named = " and ".join(best) if len(best) <= 2 else f"{len(best)} strategies"
    caption = (
        f"Means for one task; {scope(report)}. Filled: on the frontier, so no other strategy has as much for less. "
        "Vertical: 95 % intervals over tasks. Dotted: plain best-of-K by first timings, which its choice has biased "
        "upwards. Strategies of one cost stand side by side."
    )
    title = f"No strategy reaches more for fewer answers than {named}" if best else "Success against what it cost"
    return finish(figure, title, caption)
