"""What success costs: strategies against answers, tokens and seconds, and search and adaptation as they spend more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_kernelbench.report.render.figures.style import (
    NULL,
    SERIES,
    Drawing,
    NotDrawn,
    finish,
    log_axis,
    new_figure,
    percent_axis,
)
from pytest_kernelbench.report.render.numbers import scope

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Transform

COSTS = {
    "rollouts": "answers drawn a task",
    "tokens": "tokens generated and read a task",
    "seconds": "seconds a task",
}
ALIKE, ALIKE_SUCCESS = 1.02, 0.03
APART_POINTS = 5.0


def draw(report: Mapping[str, Any]) -> Drawing:
    cost = report["analyses"]["cost"] or {"strategies": {}}
    strategies = {name: each for name, each in cost["strategies"].items() if each["fast_1"]}
    shown = [key for key in COSTS if any(each[key] for each in strategies.values())]
    if not shown:
        raise NotDrawn("no strategy has a result")
    series = {name: SERIES[number % len(SERIES)] for number, name in enumerate(strategies)}
    figure, axes = new_figure(len(shown), height=3.6, width=2.6 * len(shown) if len(shown) > 1 else None)
    for axis, key in zip(axes, shown, strict=True):
        for each in cost["search"]:
            _line(axis, each["points"], key, color=NULL.color, linestyle=NULL.dash, label="any of K answers")
        for each in cost["adaptation"]:
            color = series[each["strategy"]].color
            label = f"any of {each['strategy']}'s steps"
            _line(axis, each["points"], key, color=color, linestyle="--", linewidth=1, marker=".", label=label)
        known = {name: each for name, each in strategies.items() if each[key]}
        for together in _alike({name: (each[key], each["fast_1"]["value"]) for name, each in known.items()}):
            for place, name in enumerate(together):
                each, fast = known[name], known[name]["fast_1"]
                moved = _moved(axis, APART_POINTS * (place - (len(together) - 1) / 2))
                first = each["on_frontier"].get(key)
                if first and fast["low"] is not None:
                    ends = [100 * fast["low"], 100 * fast["high"]]
                    axis.plot([each[key]] * 2, ends, color=series[name].color, linewidth=0.9, transform=moved)
                axis.plot(
                    each[key],
                    100 * fast["value"],
                    series[name].marker,
                    color=series[name].color,
                    mfc=series[name].color if first else "white",
                    transform=moved,
                    label=name,
                )
        axis.margins(x=0.2)
        log_axis(axis, COSTS[key])
        percent_axis(axis, "tasks verified fast, %" if axis is axes[0] else "")
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(shown))
    caption = (
        f"Means for one task; {scope(report)}. Filled: on the frontier, so no other strategy has as much for less. "
        "Vertical: its 95 % interval over tasks. Strategies that would hide each other stand side by side. "
        "Lines: any fast one among all answers so far, on first timings, which choosing the best has biased upwards."
    )
    return finish(figure, _title(strategies, shown[0]), caption)


def _line(axis: Axes, points: Sequence[Mapping[str, Any]], key: str, **look: Any) -> None:
    known = [
        (point[key], 100 * point["any_verified"])
        for point in points
        if point[key] and point["any_verified"] is not None
    ]
    if known:
        axis.plot(*zip(*known, strict=True), **look)


def _alike(places: Mapping[str, tuple[float, float]]) -> list[list[str]]:
    """Strategies that would hide each other: of one cost and nearly one success."""
    groups: list[list[str]] = []
    for name, (cost, success) in places.items():
        for group in groups:
            near_cost, near_success = places[group[0]]
            if 1 / ALIKE <= cost / near_cost <= ALIKE and abs(success - near_success) <= ALIKE_SUCCESS:
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def _moved(axis: Axes, points: float) -> Transform:
    from matplotlib.transforms import ScaledTranslation

    return axis.transData + ScaledTranslation(points / 72, 0, axis.figure.dpi_scale_trans)


def _title(strategies: Mapping[str, Any], key: str) -> str:
    best = [name for name, each in strategies.items() if each["on_frontier"].get(key)]
    if not best:
        return "Success against what it cost"
    if not any(each["fast_1"]["value"] for each in strategies.values()):
        return "No strategy finds a verified fast kernel, whatever it cost"
    named = " and ".join(sorted(best)) if len(best) <= 2 else f"{len(best)} strategies"
    return f"On the frontier of success and {'answers' if key == 'rollouts' else key}: {named}"
