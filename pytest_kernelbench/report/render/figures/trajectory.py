"""Success step by step of adaptation, and whether the steps differ at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from pytest_kernelbench.report.render.figures.style import (
    SERIES,
    THIN,
    Drawing,
    NotDrawn,
    curves,
    finish,
    legend_below,
    new_figure,
    panel_title,
    percent_axis,
    step_axis,
)
from pytest_kernelbench.report.render.numbers import scope


def draw(report: Mapping[str, Any]) -> Drawing:
    runs = report["analyses"]["adaptation"]
    if not runs:
        raise NotDrawn("no strategy adapted the policy")
    figure, axes = new_figure(len(runs), height=3.4)
    for axis, run in zip(axes, runs, strict=True):
        for rates in _by_task(run["per_task"], report["units"]):
            axis.plot(run["steps"], rates, color=THIN, linewidth=0.6)
        named = {
            "per sample, verified": (run["per_sample"]["verified"], SERIES[0]),
            "per sample, raw": (run["per_sample"]["raw"], SERIES[1]),
            f"any of {run['samples_per_task']}, verified": (run["any_of_k"]["verified"], SERIES[2]),
        }
        curves(axis, run["steps"], named)
        best = run["checkpoint"]["best_step"]
        if best is not None and run["checkpoint"]["value"]:  # lineages that differ have no common one
            axis.axvline(best, color="black", linewidth=0.8, linestyle=":")
            axis.annotate("best step", (best, 103), ha="center", va="bottom", fontsize=7.5, annotation_clip=False)
        held_out = run["checkpoint"]["held_out_step"]
        if held_out is not None and run["checkpoint"]["held_out_value"] is not None:
            value = 100 * run["checkpoint"]["held_out_value"]
            axis.plot(held_out, value, "D", color="black", mfc="none", ms=7, label="chosen by held-out rollouts")
        step_axis(axis, run["steps"])
        percent_axis(axis, "fast rollouts, or tasks with one, %")
        if len(runs) > 1:
            panel_title(axis, run["strategy"], pad=12)
    legend_below(figure, axes, 2)
    caption = (
        f"{scope(report)}, {runs[0]['samples_per_task']} samples a task and step. Bands: 95 % over tasks; "
        "thin lines: single tasks, per sample, verified. The best step is chosen by the very samples that it is shown "
        "for, which flatters it."
    )
    return finish(figure, _title(runs), caption)


def _by_task(per_unit: Mapping[str, Any], units: Mapping[str, Any]) -> list[list[float]]:
    """In %, the mean over the seeds of each task; a step without rollouts is a gap."""
    of_task: dict[str, list[list[float]]] = {}
    for name, rates in per_unit.items():
        task = units[name]["task"] if name in units else name
        of_task.setdefault(task, []).append([nan if rate is None else 100 * rate for rate in rates["verified"]])
    return [[sum(at) / len(at) for at in zip(*seeds, strict=True)] for seeds in of_task.values()]


def _title(runs: Sequence[Mapping[str, Any]]) -> str:
    """One clause for each verdict, after the names of its strategies."""
    names: dict[str, list[str]] = {}
    for run in runs:
        names.setdefault(_verdict(run), []).append(run["strategy"])
    return "; ".join(f"{' and '.join(of)}: {verdict}" for verdict, of in names.items())


def _verdict(run: Mapping[str, Any]) -> str:
    if run["checkpoint"]["value"] is None:
        return "nothing is verified, for the protocol gives no intervals"
    if run["checkpoint"]["value"] == 0:
        return "no rollout of any step is verified fast"
    test = run["flat_test"]["verified"]
    if test is None:
        return "whether the steps differ cannot be tested"
    words = "differ from flat" if test["p"] < 0.05 else "do not differ from flat"
    return f"the steps {words} (chi-square p = {test['p']:.2g})"
