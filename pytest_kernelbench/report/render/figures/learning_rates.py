"""Strategies that adapt, by learning rate: rollouts that are fast at the start, at the best step and at the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_kernelbench.report.render.figures.style import (
    SERIES,
    Drawing,
    NotDrawn,
    finish,
    interval_point,
    legend_below,
    new_figure,
)
from pytest_kernelbench.report.render.numbers import as_rate, scope


def draw(report: Mapping[str, Any]) -> Drawing:
    runs = [each for each in report["analyses"]["adaptation"] or () if each["learning_rate"] is not None]
    if len({each["learning_rate"] for each in runs}) < 2:
        raise NotDrawn("it takes strategies that adapt at two learning rates")
    reading, chosen = ("verified", "checkpoint") if _verified(runs) else ("raw", "checkpoint_raw")
    ranked = sorted(runs, key=lambda one: one["learning_rate"])
    figure, (axis,) = new_figure(height=1.5 + 0.42 * len(ranked))
    for place, each in enumerate(ranked):
        curve, best = each["per_sample"][reading], each[chosen]["value"]
        # Rows of their own: the three of one strategy often coincide.
        interval_point(axis, place + 0.22, _at(curve, 0), SERIES[1], "step 0")
        if best is not None:
            axis.plot(100 * best, place, "D", color="black", mfc="white", label="best step, chosen by itself")
        interval_point(axis, place - 0.22, _at(curve, -1), SERIES[0], "last step [95 %]")
    axis.set_yticks(range(len(ranked)), [f"{each['learning_rate']:g}\n{each['strategy']}" for each in ranked])
    axis.set_ylim(-0.6, len(ranked) - 0.4)
    axis.set_xlim(-3, 103)
    axis.set_xlabel(f"rollouts that are {reading} fast, %")
    axis.set_ylabel("learning rate")
    axis.grid(axis="y", visible=False)
    legend_below(figure, [axis], 3)
    caption = (
        f"Per sample, mean over tasks; {scope(report)}. Lines: 95 % over tasks. The best step of each lineage is "
        "chosen by the rollouts that it is shown for, which flatters it."
    )
    return finish(figure, _title(ranked, reading), caption)


def _verified(runs: Sequence[Mapping[str, Any]]) -> bool:
    return all(each["per_sample"]["verified"]["value"][0] is not None for each in runs)


def _at(curve: Mapping[str, Any], step: int) -> dict[str, float | None]:
    """The estimate at one step of a curve; None for an end that is not known."""
    return {name: None if values is None else values[step] for name, values in curve.items()}


def _title(ranked: Sequence[Mapping[str, Any]], reading: str) -> str:
    parts = []
    for each in ranked:
        values = [value for value in each["per_sample"][reading]["value"] if value is not None]
        if values:
            parts.append(f"{each['learning_rate']:g} from {as_rate(values[0])} to {as_rate(values[-1])}")
    return f"Fast rollouts by learning rate: {', '.join(parts)}"
