"""A/A: the reference timed against itself, which shows the speed-ups that noise alone gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.report.render.figures.style import (
    BLUE,
    MARGIN_COLOR,
    VERMILION,
    Drawing,
    NotDrawn,
    finish,
    new_figure,
    speedup_axis,
    whisker,
)
from pytest_kernelbench.report.render.numbers import counted


def draw(report: Mapping[str, Any]) -> Drawing:
    null = report["null"]
    if null is None or not null["speedups"]:
        raise NotDrawn("the reference was not timed against itself")
    ranked = sorted(null["speedups"], key=lambda each: each["value"])
    margin = report["margin"] or 0.0
    figure, (axis,) = new_figure(height=min(max(1.5 + 0.16 * len(ranked), 2.0), 4.4))
    for place, each in enumerate(ranked):
        fast = each["low"] is not None and each["low"] > 1 + margin
        color = VERMILION if fast else BLUE
        whisker(axis, place, each, color)
        axis.plot(each["value"], place, "s" if fast else "o", color=color, ms=4.5 if len(ranked) <= 20 else 3)
    axis.axvline(1 + margin, color=MARGIN_COLOR, linestyle="--", linewidth=1)
    axis.set_yticks([])
    axis.set_ylabel(f"{counted(len(ranked), 'timing')},\nby speed-up")
    axis.set_ylim(-1, len(ranked))
    speedup_axis(axis, f"speed-up of the reference over itself [95 %]; dashed: 1 plus the margin of {100 * margin:g} %")
    title = (
        f"The reference against itself is verified fast in {null['fast_1']} of {null['n']}, "
        f"and raw fast in {null['fast_1_raw']}"
    )
    caption = (
        "The reference as its own candidate, once a task, judged like any other. Raw fast: the point is right of the "
        "solid line, where half are expected. Verified fast: the whole interval is right of the dashed line, where "
        "none should be."
    )
    return finish(figure, title, caption)
