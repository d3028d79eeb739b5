"""Ranking before anything was checked: what evaluating only the first m of all candidates still finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.reports.figures.style import (
    NULL,
    SERIES,
    Drawing,
    NotDrawn,
    count_axis,
    curve,
    finish,
    new_figure,
    percent_axis,
)
from pytest_kernelbench.reports.numbers import scope

LABELS = {"surprisal": "least expected first", "confidence": "most expected first"}


def draw(report: Mapping[str, Any]) -> Drawing:
    sets = [each for each in report["analyses"]["prefilter"] or () if len(each["m"]) > 1]
    if not sets:
        raise NotDrawn("it takes two candidates of every task with log-probabilities")
    each = max(sets, key=lambda one: len(one["m"]))
    figure, (axis,) = new_figure()
    for ranking, series in zip(LABELS, SERIES, strict=False):
        curve(axis, each["m"], each["success"][ranking]["verified"], LABELS[ranking], series)
    random = [100 * value for value in each["success"]["random"]["verified"]["value"]]
    axis.plot(each["m"], random, color=NULL.color, linestyle=NULL.dash, label="in random order (exact)")
    count_axis(axis, f"candidates evaluated, m of {each['m'][-1]}", each["m"][-1])
    percent_axis(axis, "tasks with a fast one, %")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    caption = (
        f"Candidates ranked before any was built; {scope(report)}; success is one that is verified fast on its first "
        "timing. Bands: 95 % bootstrap over tasks. Over and under: the interval of the difference at that m excludes 0."
    )
    return finish(figure, _title(each), caption)


def _title(each: Mapping[str, Any]) -> str:
    said = []
    for ranking, label in LABELS.items():
        against = each["against_random"][ranking]["verified"]
        bounds = list(zip(each["m"], against["low"] or (), against["high"] or (), strict=False))
        over = [m for m, low, _ in bounds if low is not None and low > 1e-9]
        under = [m for m, _, high in bounds if high is not None and high < -1e-9]
        parts = [f"{word} it at m = {_span(ms)}" for word, ms in (("over", over), ("under", under)) if ms]
        said.append(f"{label} is {' and '.join(parts) or 'nowhere apart from it'}")
    return f"Against random order: {'; '.join(said)}"


def _span(numbers: list[int]) -> str:
    """``2 to 7``; ``2 to 7 in part`` where there are gaps."""
    if len(numbers) == 1:
        return str(numbers[0])
    gaps = numbers[-1] - numbers[0] >= len(numbers)
    return f"{numbers[0]} to {numbers[-1]}{' in part' if gaps else ''}"
