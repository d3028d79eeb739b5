"""Each selector on the same candidates: fast tasks, and the speed-up of its choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.report.render.cautions import cautioned
from pytest_kernelbench.report.render.figures.style import (
    BLUE,
    GREEN,
    VERMILION,
    Drawing,
    NotDrawn,
    finish,
    legend_above,
    new_figure,
    room_around,
    speedup_axis,
    whisker,
)
from pytest_kernelbench.report.render.numbers import as_points, as_rate, scope

CONTROLS = ("random", "random-top3")
PRIMARY = ("surprisal-top3", "random-top3")


def draw(report: Mapping[str, Any]) -> Drawing:
    sets = report["analyses"]["selection"]
    if not sets:
        raise NotDrawn("no candidate was judged")
    # Of several sets of candidates the largest; the others are in report.json.
    each = max(sets, key=lambda one: len(one["selectors"]))
    selectors = {
        name: values
        for name, values in each["selectors"].items()
        if values["fast_1"]
        and values["of"] in (None, "answer")
        and values["unit"] == "program"  # others are in the table
    }
    if not selectors:
        raise NotDrawn("no candidate was judged")
    ranked = sorted(
        selectors, key=lambda name: (selectors[name]["fast_1"]["value"], selectors[name]["geomean_speedup"]["value"])
    )
    figure, (success, speedup) = new_figure(2, height=1.5 + 0.24 * len(ranked))
    for place, name in enumerate(ranked):
        values = selectors[name]
        control = name in CONTROLS
        verified = values["fast_1"]
        success.barh(
            place,
            100 * verified["value"],
            height=0.62,
            color="white" if control else BLUE,
            edgecolor=BLUE,
            hatch="////" if control else "",
            label=("control, verified" if control else "verified"),
        )
        whisker(success, place, verified, "black", scale=100)
        success.plot(100 * values["fast_1_raw"]["value"], place, "s", color=VERMILION, mfc="white", label="raw")
        whisker(speedup, place - 0.17, values["geomean_speedup"], GREEN)
        speedup.plot(values["geomean_speedup"]["value"], place - 0.17, "o", color=GREEN, label="geometric mean [95 %]")
        if values["mean_speedup"]:
            speedup.plot(values["mean_speedup"]["value"], place + 0.17, "D", color=VERMILION, mfc="white", label="mean")
    for axis in (success, speedup):
        axis.set_yticks(range(len(ranked)), ranked)
        axis.set_ylim(-0.6, len(ranked) - 0.4)
        axis.grid(axis="y", visible=False)
        legend_above(axis)
    shown = [values[key] for values in selectors.values() for key in ("geomean_speedup", "mean_speedup") if values[key]]
    ends = [each[end] for each in shown for end in ("low", "high") if each[end] is not None]
    speedup.set_xscale("log")
    speedup.set_xlim(room_around([each["value"] for each in shown], ends))
    success.set_xlim(0, 103)
    success.set_xlabel("tasks whose choice is fast, %")
    speedup_axis(speedup, "speed-up of the choice")
    caption = (
        f"Every selector replayed on the same candidates by their first timings; {scope(report)}; 95 % intervals "
        "over tasks, cut beyond four times what was measured. Random ones are exact, over distinct programs."
        + cautioned(values["geomean_speedup"] for values in selectors.values())
    )
    return finish(figure, _title(each, report["analyses"]["primary"]), caption)


def _title(each: Mapping[str, Any], primary: Mapping[str, Any] | None) -> str:
    """About the comparison that was named, else the paper's, whichever way it went: the best of many is best by
    luck.
    """
    named = PRIMARY if primary is None else (primary["selector"], primary["control"])
    selector, control = named if set(named) <= each["selectors"].keys() else ("oracle", "random")
    rates = [as_rate(each["selectors"][name]["fast_1"]["value"]) for name in (selector, control)]
    said = f"{selector} is fast for {rates[0]} of tasks, {control} for {rates[1]}"
    for comparison in each["comparisons"]:
        difference = comparison["verified"]["difference"]
        if (comparison["selector"], comparison["control"]) == (selector, control) and difference:
            said += f" (difference {as_points(difference)} points)"
    return said
