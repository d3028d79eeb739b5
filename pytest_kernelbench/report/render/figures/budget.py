"""What each strategy had found after so much was spent, on each budget of which all is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.report.render.figures.style import (
    SERIES,
    Drawing,
    NotDrawn,
    curve,
    finish,
    new_figure,
    percent_axis,
)
from pytest_kernelbench.report.render.numbers import scope

LABELS = {
    "rollouts": "answers drawn a task",
    "tokens": "tokens of prompts and answers a task",
    "judged": "distinct programs judged a task",
    "seconds": "seconds a task",
}


def draw(report: Mapping[str, Any]) -> Drawing:
    """Raises NotDrawn where there is nothing to compare."""
    found = report["analyses"].get("budget")
    if not found:
        raise NotDrawn("it takes two strategies that draw candidates of their own")
    figure, axes = new_figure(len(found), height=3.4)
    for axis, (name, each) in zip(axes, found.items(), strict=True):
        for number, (strategy, curves) in enumerate(each["strategies"].items()):
            curve(axis, each["budget"], curves["verified"], strategy, SERIES[number % len(SERIES)])
        axis.set_xlabel(LABELS[name])
        axis.set_xlim(left=0)
    percent_axis(axes[0], "tasks with a verified fast kernel, %")
    for axis in axes[1:]:
        percent_axis(axis, "")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    caption = (
        f"{scope(report)}; what each strategy's candidates had reached, in the order in which they were drawn, as far "
        "as the strategy that spent least; bands: 95 % over tasks."
    )
    return finish(figure, "What each strategy had found within equal budgets", caption)
