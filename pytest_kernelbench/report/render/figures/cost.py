"""Cost of success in answers, tokens, timings and seconds, and of search and adaptation as they spend more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_kernelbench.report.render.figures.labels import inches_for, labels_beside
from pytest_kernelbench.report.render.figures.style import (
    NULL,
    Drawing,
    NotDrawn,
    Series,
    finish,
    legend_below,
    log_axis,
    new_figure,
    percent_axis,
    series_of,
)
from pytest_kernelbench.report.render.numbers import scope

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COSTS = {
    "rollouts": "answers drawn a task",
    "tokens": "tokens generated and read a task",
    "prompt_tokens": "prompt tokens a task",
    "timed": "timings looked at a task",
    "seconds": "seconds a task",
}
ALIKE, ALIKE_SUCCESS = 1.01, 0.005  # of costs as a ratio, of rates


def draw(report: Mapping[str, Any]) -> Drawing:
    cost = report["analyses"]["cost"] or {"strategies": {}}
    strategies = {name: each for name, each in cost["strategies"].items() if each["fast_1"]}
    shown = [key for key in COSTS if any(each[key] for each in strategies.values())]
    if not shown:
        raise NotDrawn("no strategy has a result")
    looks = {name: series_of(number) for number, name in enumerate(strategies)}
    steps = _alike_lines([each for each in cost["adaptation"] if each["strategy"] in looks], shown)
    panel = inches_for(len(strategies))
    figure, axes = new_figure(len(shown), height=panel + 0.7)
    for axis, key in zip(axes, shown, strict=True):
        for each in cost["search"]:
            _line(axis, each["points"], key, color=NULL.color, linestyle=NULL.dash, label="any of K answers")
        for together in steps:
            names = [f"{each['strategy']}'s" for each in together]
            look = looks[together[0]["strategy"]]
            drawn = {
                "color": look.color,
                "linestyle": look.dash,
                "marker": look.marker,
                "linewidth": 1,
                "markersize": 3,
            }
            _line(axis, together[0]["points"], key, label=f"any of {' = '.join(names)} steps", **drawn)
        known = {name: each for name, each in strategies.items() if each[key]}
        points = _strategies(axis, known, key, looks)
        labels_beside(axis, points, panel_inches=panel)
    legend_below(figure, axes, 2)
    caption = (
        f"Means for one task; {scope(report)}. Filled: on the frontier, so no other strategy has as much for less. "
        "Vertical: its 95 % interval over tasks. Strategies of one cost and success are one point with all names. "
        "Lines: any fast one among all answers so far, on first timings, which choosing the best has biased upwards."
    )
    return finish(figure, _title(strategies, shown[0]), caption)


def _strategies(
    axis: Axes, known: Mapping[str, Any], key: str, looks: Mapping[str, Series]
) -> list[tuple[float, float, str]]:
    """Draw each strategy as a point; return x, y and the names of each point."""
    points = []
    for together in _alike({name: (each[key], each["fast_1"]["value"]) for name, each in known.items()}):
        name = together[0]
        each, fast, color = known[name], known[name]["fast_1"], looks[name].color
        first = any(known[one]["on_frontier"].get(key) for one in together)
        if first and fast["low"] is not None:
            axis.plot([each[key]] * 2, [100 * fast["low"], 100 * fast["high"]], color=color, linewidth=0.9)
        axis.plot(each[key], 100 * fast["value"], looks[name].marker, color=color, mfc=color if first else "white")
        points.append((each[key], 100 * fast["value"], ",\n".join(together)))
    axis.margins(x=0.1)
    log_axis(axis, COSTS[key])
    percent_axis(axis, "tasks verified fast, %")
    return points


def _line(axis: Axes, points: Sequence[Mapping[str, Any]], key: str, **look: Any) -> None:
    known = [
        (point[key], 100 * point["any_verified"])
        for point in points
        if point.get(key) and point["any_verified"] is not None
    ]
    if known:
        axis.plot(*zip(*known, strict=True), **look)


def _alike_lines(lines: Sequence[Mapping[str, Any]], shown: Sequence[str]) -> list[list[Mapping[str, Any]]]:
    """Strategies whose steps would hide each other on every axis that is shown."""

    def alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        if len(one["points"]) != len(other["points"]):
            return False
        for a, b in zip(one["points"], other["points"], strict=True):
            costs = [(a.get(key), b.get(key)) for key in shown]
            if any((x is None) != (y is None) or (x and y and not 1 / ALIKE <= x / y <= ALIKE) for x, y in costs):
                return False
            success = (a["any_verified"], b["any_verified"])
            if None in success or abs(success[0] - success[1]) > ALIKE_SUCCESS:
                return False
        return True

    groups: list[list[Mapping[str, Any]]] = []
    for each in lines:
        same = next((group for group in groups if alike(group[0], each)), None)
        if same is None:
            groups.append([each])
        else:
            same.append(each)
    return groups


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


def _title(strategies: Mapping[str, Any], key: str) -> str:
    best = [name for name, each in strategies.items() if each["on_frontier"].get(key)]
    if not best:
        return "Success against what it cost"
    if not any(each["fast_1"]["value"] for each in strategies.values()):
        return "No strategy finds a verified fast kernel, whatever it cost"
    named = " and ".join(sorted(best)) if len(best) <= 2 else f"{len(best)} strategies"
    return f"On the frontier of success and {'answers' if key == 'rollouts' else key}: {named}"
