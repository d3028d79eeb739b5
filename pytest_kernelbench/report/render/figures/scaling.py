"""Success against K, beside the success of noise alone: a coin flip, and the reference itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.report.render.figures.style import (
    IDENTITY,
    NULL,
    SERIES,
    Drawing,
    NotDrawn,
    count_axis,
    curves,
    every_octave,
    finish,
    legend_below,
    new_figure,
    panel_title,
    percent_axis,
)
from pytest_kernelbench.report.render.numbers import as_rate, scope


def draw(report: Mapping[str, Any]) -> Drawing:
    sets = [each for each in report["analyses"]["scaling"] or () if len(each["k"]) > 1]
    if not sets:
        raise NotDrawn("it takes two candidates of every task")
    figure, axes = new_figure(len(sets), height=3.4)
    for axis, each in zip(axes, sets, strict=True):
        ks = each["k"]
        named = {
            "any of K, raw": (each["success"]["any"]["raw"], SERIES[1]),
            "any of K, verified": (each["success"]["any"]["verified"], SERIES[0]),
        }
        if "surprisal" in each["success"]:
            named["surprisal's of K, verified"] = (each["success"]["surprisal"]["verified"], SERIES[2])
        random = {**each["success"]["random"]["verified"], "low": None, "high": None}
        curves(axis, ks, {**named, "a random correct one of K, verified": (random, SERIES[3])})
        axis.plot(
            ks, [100 * value for value in each["coin_flip"]], color=NULL.color, ls=NULL.dash, label="coin flip, raw"
        )
        if each["identity"]:
            raw = [100 * value for value in each["identity"]["raw"]["value"]]
            axis.plot(
                ks,
                raw,
                color=IDENTITY.color,
                ls=IDENTITY.dash,
                marker=IDENTITY.marker,
                markevery=every_octave(ks),
                label=f"K times the reference, raw (n = {each['identity']['n']})",
            )
        count_axis(axis, "candidates K", ks[-1])
        if len(sets) > 1:
            panel_title(axis, ", ".join(each["strategies"]))
        percent_axis(axis, "tasks with a fast candidate, %")
    legend_below(figure, axes, 2)
    first = sets[0]
    caption = (
        f"{scope(report)}; exact means over all choices of K among {first['k'][-1]} candidates, of whose "
        "distinct programs one is taken, first timings; bands: "
        "95 % over tasks. Coin flip and reference: any of K kernels that are the reference, by symmetric noise, and by "
        "how often it was timed faster than itself, continued as 1 - (1 - rate)^K."
    )
    return finish(figure, _title(first), caption)


def _title(each: Mapping[str, Any]) -> str:
    k = each["k"][-1]
    verified, raw = (each["success"]["any"][reading]["value"][-1] for reading in ("verified", "raw"))
    return (
        f"Among {k} candidates, {as_rate(verified)} of tasks have a verified fast one; "
        f"raw it is {as_rate(raw)}, and {as_rate(each['coin_flip'][-1])} by a coin flip"
    )
