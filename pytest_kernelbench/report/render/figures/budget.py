"""Success of each strategy against its spending, for each kind of budget that is fully recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_kernelbench.report.render.figures.style import (
    Drawing,
    NotDrawn,
    curves,
    finish,
    legend_below,
    new_figure,
    percent_axis,
    series_of,
)
from pytest_kernelbench.report.render.numbers import as_amount, as_rate, counted, scope

LABELS = {
    "rollouts": "answers drawn a task",
    "tokens": "tokens of prompts and answers a task",
    "answers' tokens": "tokens of answers a task",
    "judged": "distinct programs judged a task",
    "seconds": "seconds a task",
}


def draw(report: Mapping[str, Any]) -> Drawing:
    """Raises NotDrawn where there is nothing to compare."""
    found = report["analyses"].get("budget")
    if not found:
        raise NotDrawn("it takes two strategies that draw candidates of their own")
    figure, axes = new_figure(len(found), height=2.5)
    for axis, (name, each) in zip(axes, found.items(), strict=True):
        named = {
            short_name(strategies): (found["verified"], replace(series_of(number), steps=True))
            for number, (strategies, found) in enumerate(each["strategies"].items())
        }
        curves(axis, each["budget"], named)
        axis.set_xlabel(_label(name, each))
        axis.set_xlim(left=0)
        percent_axis(axis, "tasks with a verified fast one, %")
    legend_below(figure, axes, 2)
    first = next(iter(found.values()))
    together = [strategies for strategies in first["strategies"] if ", " in strategies]
    caption = (
        f"{scope(report)}; what each strategy's candidates had reached, in the order in which they were drawn, as far "
        "as the strategy that spent least; bands: 95 % over tasks."
        + "".join(f" {short_name(each)}: they share candidates ({each})." for each in together)
        + "".join(
            f" {name[0].upper()}{name[1:]}: without {counted(each['left_out'], 'task')} not known."
            for name, each in found.items()
            if each["left_out"]
        )
    )
    return finish(figure, _title(found), caption)


def short_name(strategies: str) -> str:
    """``best-of-64 and 6 more`` of strategies that share their candidates."""
    first, *others = strategies.split(", ")
    return f"{first} and {len(others)} more" if others else first


def _label(name: str, each: Mapping[str, Any]) -> str:
    return LABELS["answers' tokens" if name == "tokens" and not each["prompts"] else name]


def _title(found: Mapping[str, Any]) -> str:
    """The best strategy at the end of the first budget; of strategies with shared candidates, the first name."""
    name, each = next(iter(found.items()))
    reached = {names.partition(",")[0]: curves["verified"]["value"][-1] for names, curves in each["strategies"].items()}
    if any(value is None for value in reached.values()):
        return "Nothing is verified: the protocol gives no intervals"
    said = ", ".join(f"{names} {as_rate(value)}" for names, value in reached.items())
    return f"Within {as_amount(each['budget'][-1])} {_label(name, each)}: {said} of tasks verified fast"
