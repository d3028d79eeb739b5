"""Means over tasks with their intervals, as the JSON values that ``analysis.base`` describes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp
from typing import Any

import numpy
from numpy.typing import NDArray

from pytest_kernelbench.report.stats import (
    carried_by,
    clustered_rate_band,
    fixed_task_interval,
    fixed_warning_of,
    mean_band,
    warning_of,
)

Floats = NDArray[numpy.float64]
Json = dict[str, Any]


def by_task(tasks_U: Sequence[str], values_U: Floats) -> Floats:
    """Means over the seeds of each task, along the first axis."""
    places = places_by_task(tasks_U)
    return numpy.array([values_U[each].mean(axis=0) for each in places.values()])


def places_by_task(tasks_U: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, task in enumerate(tasks_U):
        places.setdefault(task, []).append(place)
    return places


def curve_over_tasks(tasks_U: Sequence[str], values_UK: Floats) -> Json:
    """Of a mean. It has no interval at a point that one or two tasks carry; ``warning`` is that of its last point."""
    found = _curve(tasks_U, values_UK, mean_band)
    known_U = _known_everywhere(values_UK)
    if not known_U.any():
        return {**found, "warning": None}
    tasks = [task for task, is_known in zip(tasks_U, known_U, strict=True) if is_known]
    values_TK = by_task(tasks, values_UK[known_U])
    carriers_K = [carried_by(values_T.tolist()) for values_T in values_TK.T]
    for end in ("low", "high"):
        if found[end] is not None:
            kept = [None if few else value for value, few in zip(found[end], carriers_K, strict=True)]
            found[end] = kept if any(value is not None for value in kept) else None
    names = list(dict.fromkeys(tasks))
    return {**found, "warning": warning_of(len(names), [names[place] for place in carriers_K[-1]])}


def rate_curve_over_tasks(tasks_U: Sequence[str], rates_UK: Floats) -> Json:
    return _curve(tasks_U, rates_UK, clustered_rate_band)


def difference_curve_over_tasks(tasks_U: Sequence[str], values_UK: Floats) -> Json:
    """Of differences of two rates, as ``difference_over_tasks``."""
    found = _curve(tasks_U, values_UK, mean_band)
    for end in ("low", "high"):
        if found[end] is not None:
            found[end] = [None if each is None else min(max(each, -1.0), 1.0) for each in found[end]]
    return found


def estimate_over_tasks(tasks_U: Sequence[str], values_U: Sequence[float] | Floats) -> Json | None:
    """Of the units whose value is known; None where none is."""
    tasks, values = _known(tasks_U, values_U)
    if not tasks:
        return None
    values_T = by_task(tasks, values)
    names = list(dict.fromkeys(tasks))
    carriers = carried_by(values_T.tolist())
    low, high = (None if numpy.isnan(end[0]) else float(end[0]) for end in mean_band(values_T[:, None]))
    if carriers:
        low = high = None
    return {
        "value": float(values_T.mean()),
        "low": low,
        "high": high,
        "tasks": len(values_T),
        "warning": warning_of(len(values_T), [names[place] for place in carriers]),
        "fixed": None
        if (fixed := _fixed(tasks, values)) is None
        else {**fixed, "warning": fixed_warning_of(len(values))},
    }


def difference_over_tasks(tasks_U: Sequence[str], values_U: Sequence[float] | Floats) -> Json | None:
    """``estimate_over_tasks`` of differences of two rates, or of correlations, which lie between -1 and 1.

    One task cannot carry them far. Where no task differs there is a value and no interval.
    """
    tasks, values = _known(tasks_U, values_U)
    if not tasks:
        return None
    values_T = by_task(tasks, values)
    low, high = (None if numpy.isnan(end[0]) else float(end[0]) for end in mean_band(values_T[:, None]))
    return {
        "value": float(values_T.mean()),
        "low": None if low is None else max(low, -1.0),
        "high": None if high is None else min(high, 1.0),
        "tasks": len(values_T),
        "warning": None,
        "fixed": _fixed(tasks, values),
    }


def rate_over_tasks(tasks_U: Sequence[str], rates_U: Sequence[float] | Floats) -> Json | None:
    """``estimate_over_tasks`` of rates."""
    tasks, rates = _known(tasks_U, rates_U)
    if not tasks:
        return None
    rates_T = by_task(tasks, rates)
    low, high = (None if numpy.isnan(end[0]) else float(end[0]) for end in clustered_rate_band(rates_T[:, None]))
    return {
        "value": float(rates_T.mean()),
        "low": low,
        "high": high,
        "tasks": len(rates_T),
        "warning": None,
        "fixed": _fixed(tasks, rates),
    }


def _fixed(tasks_U: Sequence[str], values_U: Floats) -> Json | None:
    places = places_by_task(tasks_U)
    interval = fixed_task_interval([values_U[each].tolist() for each in places.values()])
    return None if interval is None else interval._asdict()


def _curve(tasks_U: Sequence[str], values_UK: Floats, band: Callable[[Floats], tuple[Floats, Floats]]) -> Json:
    known_U = _known_everywhere(values_UK)
    if not known_U.any():
        return {"value": [None] * values_UK.shape[1], "low": None, "high": None}
    tasks = [task for task, is_known in zip(tasks_U, known_U, strict=True) if is_known]
    values_TK = by_task(tasks, values_UK[known_U])
    bounds = [None if numpy.isnan(end_K).all() else [finite(end) for end in end_K] for end_K in band(values_TK)]
    return {"value": values_TK.mean(axis=0).tolist(), "low": bounds[0], "high": bounds[1]}


def _known_everywhere(values_UK: Floats) -> NDArray[numpy.bool_]:
    """(U,): whether a unit's curve has no gap; of a curve without points none is known."""
    if not values_UK.shape[1]:
        return numpy.zeros(len(values_UK), dtype=bool)
    known_U: NDArray[numpy.bool_] = ~numpy.isnan(values_UK).any(axis=1)
    return known_U


def _known(tasks_U: Sequence[str], values_U: Sequence[float] | Floats) -> tuple[list[str], Floats]:
    values = numpy.asarray(values_U, dtype=float)
    known = ~numpy.isnan(values)
    return [task for task, is_known in zip(tasks_U, known, strict=True) if is_known], values[known]


def exponential(of_logs: Json | None) -> Json | None:
    """Of an estimate or a curve of logarithms."""
    if of_logs is None:
        return None

    def back(each: Any) -> Any:
        if isinstance(each, list):
            return [back(one) for one in each]
        if isinstance(each, dict):
            return {name: one if name in ("tasks", "warning") else back(one) for name, one in each.items()}
        return None if each is None else exp(each)

    taken_back: Json = back(of_logs)
    return taken_back


def not_negative(found: Json | None) -> Json | None:
    """An estimate or a curve of a mean of speed-ups, whose interval may not go on under 0 as Student's does."""

    def kept(low: Any) -> Any:
        if isinstance(low, list):
            return [kept(each) for each in low]
        return None if low is None else max(low, 0.0)

    return None if found is None else {**found, "low": kept(found["low"])}


def finite(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return float(value) if numpy.isfinite(value) else None
