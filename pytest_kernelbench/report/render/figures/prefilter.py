"""Ranking before any check: the success of evaluating only the first m of all candidates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_kernelbench.report.render.figures.style import (
    NULL,
    SERIES,
    Drawing,
    NotDrawn,
    count_axis,
    curves,
    finish,
    legend_below,
    new_figure,
    percent_axis,
)
from pytest_kernelbench.report.render.numbers import scope

LEAST_DIFFERENCE = 0.005  # of a rate: half a point
LABELS = {"surprisal": "least expected first", "confidence": "most expected first"}


def draw(report: Mapping[str, Any]) -> Drawing:
    sets = [each for each in report["analyses"]["prefilter"] or () if len(each["m"]) > 1 and each["unit"] == "program"]
    if not sets:
        raise NotDrawn("it takes two programs of every task with log-probabilities")
    each = max(sets, key=lambda one: len(one["m"]))
    figure, (axis,) = new_figure()
    random = each["success"]["random"]["verified"]
    if random["value"][0] is None:
        raise NotDrawn("nothing is verified: the protocol gives no intervals")
    named = {
        LABELS[ranking]: (each["success"][ranking]["verified"], series)
        for ranking, series in zip(LABELS, SERIES, strict=False)
    }
    curves(axis, each["m"], {**named, "in random order (exact)": ({**random, "low": None, "high": None}, NULL)})
    count_axis(axis, f"programs evaluated, m of {each['m'][-1]}", each["m"][-1])
    percent_axis(axis, "tasks with a verified fast one, %")
    legend_below(figure, [axis], 2)
    caption = (
        f"Distinct programs ranked before any was built; {scope(report)}; success is one that is verified fast on its "
        "first timing. Bands: 95 % over tasks, of each curve for itself. More and fewer: at that m the interval of the "
        "difference excludes 0; of so many m some would by chance."
    )
    return finish(figure, _title(each), caption)


def _title(each: Mapping[str, Any]) -> str:
    """Where a ranking differs from random order, by more than the interval of the difference and than can be seen."""
    said = []
    for ranking, label in LABELS.items():
        against = each["against_random"][ranking]["verified"]
        bounds = list(zip(each["m"], against["low"] or (), against["high"] or (), strict=False))
        more = [m for m, low, _ in bounds if low is not None and low > LEAST_DIFFERENCE]
        fewer = [m for m, _, high in bounds if high is not None and high < -LEAST_DIFFERENCE]
        parts = [f"{word} at m = {_span(ms)}" for word, ms in (("more", more), ("fewer", fewer)) if ms]
        if parts:
            said.append(f"{label} finds {' and '.join(parts)}")
    if not said:
        return "No ranking is told apart from random order, whatever is evaluated of it"
    return f"Against random order, {'; '.join(said)}"


def _span(numbers: list[int]) -> str:
    """``2 to 7``; ``2 to 7 in part`` where there are gaps."""
    if len(numbers) == 1:
        return str(numbers[0])
    gaps = numbers[-1] - numbers[0] >= len(numbers)
    return f"{numbers[0]} to {numbers[-1]}{' in part' if gaps else ''}"
