"""Over-sharpening: how surprisal and speed-up go together among the rollouts of each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.report.render.figures.style import (
    SERIES,
    Drawing,
    NotDrawn,
    curves,
    finish,
    legend_below,
    new_figure,
    panel_title,
    step_axis,
    y_label,
)
from pytest_kernelbench.report.render.numbers import counted

PROBE_OF = {
    "fixed": "the correct rollouts of step 0 under the weights of each step",
    "own": "each step's own correct rollouts",
}


def draw(report: Mapping[str, Any]) -> Drawing:
    runs = [run for run in report["analyses"]["adaptation"] or () if run["probe"]]
    if not runs:
        raise NotDrawn("no step of an adaptation has rollouts whose surprisal and speed-up are known")
    figure, axes = new_figure(len(runs), height=3.4)
    for axis, run in zip(axes, runs, strict=True):
        probe = run["probe"]
        steps = [point["step"] for point in probe]
        within = [point["within_task_rho"] or {"value": None, "low": None, "high": None} for point in probe]
        bounds = {end: [each[end] for each in within] for end in ("value", "low", "high")}
        pooled, tail = (
            {"value": [point[key] for point in probe], "low": None, "high": None} for key in ("rho", "tail_rho")
        )
        named = {
            "within task [95 %]": (bounds, SERIES[0]),
            "pooled": (pooled, SERIES[1]),
            "pooled, least expected quarter": (tail, SERIES[2]),
        }
        curves(axis, steps, named, scale=1)
        axis.axhline(0, color="black", linewidth=0.8)
        step_axis(axis, steps)
        if len(runs) > 1:
            panel_title(axis, run["strategy"])
        y_label(axis, "rank correlation of surprisal and speed-up")
    legend_below(figure, axes, 3)
    first = runs[0]["probe"]
    caption = (
        f"Spearman's rho of negative log-probability and speed-up among {PROBE_OF[runs[0]['probe_of']]} "
        f"(n = {min(point['n'] for point in first)} to {max(point['n'] for point in first)}); below 0 the expected "
        "ones are faster. Within task: mean and 95 % over tasks. Pooled coefficients have no interval: rollouts of one "
        "task are not independent."
    )
    start, end, steps = first[0]["rho"], first[-1]["rho"], counted(first[-1]["step"], "step")
    title = (
        f"{runs[0]['strategy']}: pooled rho goes from {start:+.2f} to {end:+.2f} in {steps}"
        if start is not None and end is not None
        else f"{runs[0]['strategy']}: rho by step"
    )
    return finish(figure, title, caption)
