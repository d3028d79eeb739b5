"""Strategies side by side: for how many tasks each found a fast kernel, and for how many answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.report.render.figures.style import (
    BLUE,
    VERMILION,
    Drawing,
    NotDrawn,
    finish,
    legend_above,
    new_figure,
)
from pytest_kernelbench.report.render.numbers import as_rate, scope


def draw(report: Mapping[str, Any]) -> Drawing:
    measured = {name: each for name, each in report["strategies"].items() if each["metrics"]["fast_1_raw"] is not None}
    if not measured:
        raise NotDrawn("no strategy has a result")
    spent = (report["analyses"]["cost"] or {"strategies": {}})["strategies"]
    budgets = {name: spent.get(name, {}).get("rollouts") or each["k"] for name, each in measured.items()}
    verified = all(each["metrics"]["fast_1"] is not None for each in measured.values())
    ranked = sorted(measured, key=lambda name: measured[name]["metrics"]["fast_1" if verified else "fast_1_raw"])
    figure, (axis,) = new_figure(height=1.3 + 0.3 * len(ranked))
    for place, name in enumerate(ranked):
        metrics, intervals = measured[name]["metrics"], measured[name]["intervals"]
        # Beside each other in their row, for they often are the same.
        axis.plot(100 * metrics["fast_1_raw"], place + 0.17, "s", color=VERMILION, mfc="none", label="raw")
        if metrics["fast_1"] is None:
            continue
        # One task with several seeds is no evidence on other tasks.
        if intervals["fast_1"] is not None:
            axis.plot([100 * end for end in intervals["fast_1"]], [place - 0.17] * 2, color=BLUE)
        axis.plot(100 * metrics["fast_1"], place - 0.17, "o", color=BLUE, label="verified [95 %]")
    axis.set_yticks(range(len(ranked)), [f"{name}, {budgets[name]:.0f} answers" for name in ranked])
    axis.set_ylim(-0.6, len(ranked) - 0.4)
    axis.set_xlim(-3, 103)
    axis.set_xlabel("tasks with a fast kernel chosen, %")
    axis.grid(axis="y", visible=False)
    legend_above(axis)
    title = _title(measured, ranked) if verified else "Nothing is verified: the protocol gives no intervals"
    return finish(figure, title, _caption(report, budgets))


def _title(measured: Mapping[str, Any], ranked: list[str]) -> str:
    best = ranked[-1]
    rate = measured[best]["metrics"]["fast_1"]
    if len(ranked) == 1:
        return f"{best} finds a verified fast kernel for {as_rate(rate)} of tasks"
    intervals = {name: measured[name]["intervals"]["fast_1"] for name in ranked}
    lowest_end = intervals[best][0] if intervals[best] else 0.0
    apart = [name for name in ranked[:-1] if intervals[name] and intervals[name][1] < lowest_end]
    if len(apart) == len(ranked) - 1:
        return f"{best} is ahead of all others: {as_rate(rate)} of tasks verified fast"
    leaders = [name for name in ranked if measured[name]["metrics"]["fast_1"] == rate]
    if rate == 0:
        return "No strategy finds a verified fast kernel"
    said = " and ".join(leaders) if len(leaders) <= 2 else f"{len(leaders)} strategies"
    return f"{said} {'is' if len(leaders) == 1 else 'are'} highest with {as_rate(rate)} of tasks, but intervals overlap"


def _caption(report: Mapping[str, Any], budgets: Mapping[str, float]) -> str:
    equal = "each strategy draws as many answers" if len(set(budgets.values())) == 1 else "answers a task as labelled"
    return (
        f"fast_1 over {scope(report)}; {equal}. Verified: the second timing's interval is over 1 by the margin, with "
        "a 95 % interval over tasks. Raw: the first timing is over 1."
    )
