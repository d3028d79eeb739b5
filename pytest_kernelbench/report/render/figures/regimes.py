"""Where the log-probabilities of a task's candidates do not spread, no score can rank them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.report.render.figures.style import (
    MARGIN_COLOR,
    NULL,
    SERIES,
    Drawing,
    NotDrawn,
    Series,
    finish,
    log_axis,
    new_figure,
    percent_axis,
)
from pytest_kernelbench.report.render.numbers import scope

REGIMES = ("flat", "medium", "high")
LEAST_NATS = 1e-3  # where identical answers are drawn, on an axis that has no zero
SELECTORS = {
    "oracle": Series(color="#000000", marker="*"),
    "random": Series(color=NULL.color, marker="x"),
    "surprisal": SERIES[0],
    "surprisal-top3": SERIES[2],
    "confidence": SERIES[1],
}


def draw(report: Mapping[str, Any]) -> Drawing:
    sets = report["analyses"]["regimes"]
    if not sets:
        raise NotDrawn("no candidate has log-probabilities")
    each = max(sets, key=lambda one: len(one["tasks"]))
    spreads = sorted(
        (max(task["sd_sum_logprob"], LEAST_NATS), task["regime"])
        for task in each["tasks"].values()
        if task["sd_sum_logprob"] is not None
    )
    if not spreads:
        raise NotDrawn("no task has two candidates with log-probabilities")
    if all(one["selectors"]["oracle"]["fast_1"] is None for one in each["regimes"].values()):
        raise NotDrawn("nothing is verified: the protocol gives no intervals")
    figure, (spread, success) = new_figure(2, height=3.0)
    markers = {"flat": SERIES[1], "medium": SERIES[2], "high": SERIES[0]}
    for regime, series in markers.items():
        rows = [(sd, place) for place, (sd, of) in enumerate(spreads) if of == regime]
        if rows:
            spread.plot(*zip(*rows, strict=True), series.marker, color=series.color, label=f"{regime} ({len(rows)})")
    for threshold in each["thresholds"].values():
        spread.axvline(threshold, color=MARGIN_COLOR, linestyle="--", linewidth=1)
    log_axis(spread, "sd of the summed log-probability, nats")
    spread.set_yticks([])
    spread.set_ylabel(f"{len(spreads)} cases, by spread")
    spread.legend(loc="upper left", frameon=True, framealpha=1, edgecolor="white")
    present = [regime for regime in REGIMES if each["regimes"].get(regime, {}).get("tasks")]
    for number, (name, series) in enumerate(SELECTORS.items()):
        points = [
            (place + 0.12 * (number - 2), 100 * values[name]["fast_1"])
            for place, regime in enumerate(present)
            if name in (values := each["regimes"][regime]["selectors"]) and values[name]["fast_1"] is not None
        ]
        if points:
            success.plot(*zip(*points, strict=True), series.marker, color=series.color, label=name)
    success.set_xticks(range(len(present)), [f"{name}\nn = {each['regimes'][name]['tasks']}" for name in present])
    success.set_xlim(-0.5, len(present) - 0.5)
    success.grid(axis="x", visible=False)
    percent_axis(success, "tasks whose choice is verified fast, %")
    success.legend(loc="upper left", bbox_to_anchor=(1, 1))
    flat = sum(regime == "flat" for _, regime in spreads)
    title = (
        f"In {flat} of {len(spreads)} cases the answers are too alike for a score to rank"
        if flat
        else f"In all of {len(spreads)} cases the answers differ enough for a score to rank"
    )
    caption = (
        f"{scope(report)}; a case is a task with one seed. Regimes by the standard deviation (sd) of the summed "
        "log-probability among its candidates, with thresholds "
        f"{each['thresholds']['flat']:g} and {each['thresholds']['high']:g} nats (arXiv 2602.07670). Below: selectors "
        "replayed on first timings; so few tasks a regime bear no interval."
    )
    return finish(figure, title, caption)
