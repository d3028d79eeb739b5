"""How much fast_1 owes to the margin: it falls where the margin passes the low end of a choice's interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.report.render.figures.style import (
    MARGIN_COLOR,
    Drawing,
    NotDrawn,
    finish,
    legend_below,
    new_figure,
    percent_axis,
    series_of,
)
from pytest_kernelbench.report.render.numbers import as_percent, scope

TICKS = (0, 0.5, 1, 2, 5, 10, 20, 50)
FEW_PERCENT = 0.05


def draw(report: Mapping[str, Any]) -> Drawing:
    found = report["analyses"]["margins"]
    if not found:
        raise NotDrawn("no choice was timed again with an interval")
    alike: dict[tuple[tuple[float, ...], ...], list[str]] = {}
    for name, curve in found["strategies"].items():
        alike.setdefault(_steps(curve), []).append(name)
    figure, (axis,) = new_figure(height=2.9 + 0.1 * len(alike))
    for number, ((margins, shares), names) in enumerate(alike.items()):
        look = series_of(number)
        axis.step(
            [100 * margin for margin in margins],
            [100 * share for share in shares],
            where="post",
            color=look.color,
            linestyle=look.dash,
            label=" = ".join(names),
        )
    margin = report["margin"] or 0.0
    axis.axvline(100 * margin, color=MARGIN_COLOR, linestyle="--", linewidth=1, label="the margin of this run")
    axis.set_xscale("symlog", linthresh=1, linscale=0.6)
    axis.set_xlim(0, TICKS[-1])
    axis.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axis.minorticks_off()
    axis.set_xlabel("margin: by what the interval must exceed 1, %")
    percent_axis(axis, "tasks whose choice is verified fast, %")
    legend_below(figure, [axis], 2)
    caption = (
        f"The choices' second timings; {scope(report)}. A step is a choice whose interval begins there. Strategies "
        "with the same choices are one line. The axis is even up to 1 % and logarithmic from there."
    )
    return finish(figure, _title(found), caption)


def _steps(curve: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Margins and the share that is left from each one on, to the end of the axis."""
    margins = (0.0, *curve["falls_at"])
    shares = (curve["value"][0], *curve["falls_to"])
    return (*margins, max(margins[-1], TICKS[-1] / 100)), (*shares, shares[-1])


def _title(found: Mapping[str, Any]) -> str:
    """About the strategy that loses most where kernels hardly differ from the reference."""
    few = found["margin"].index(FEW_PERCENT)
    losses = {name: curve["value"][0] - curve["value"][few] for name, curve in found["strategies"].items()}
    name = max(losses, key=lambda each: losses[each])
    value = found["strategies"][name]["value"]
    if losses[name] <= 0:
        return "No strategy loses a fast task to a margin of 5 %"
    return f"{name} has {as_percent(value[0])} % of tasks fast without a margin, {as_percent(value[few])} % at 5 %"
