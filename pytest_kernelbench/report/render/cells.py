"""A table, and cells of it as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_kernelbench.records import Task
from pytest_kernelbench.report.render.numbers import as_digits, as_percent, as_rate, as_times

Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """``caption`` describes the numbers; the first column of ``rows`` is text, the others are numbers."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def on(report: Report) -> str:
    tasks = len({each["task"] for each in report["units"].values()})
    seeds = len(report["seeds"])
    facts = [
        f"{tasks} task{'' if tasks == 1 else 's'}",
        f"{seeds} seeds" if seeds > 1 else f"seed {report['seeds'][0]}",
        report["policy"] and f"policy {report['policy']}",
        report["device"],
        report["sizes"] and f"{report['sizes']} sizes",
    ]
    return ", ".join(str(fact) for fact in facts if fact) + "."


def unit_label(report: Report, unit: str) -> str:
    """``level1/12``, with the seed where the run has several."""
    task, seed = report["units"][unit]["task"], report["units"][unit]["seed"]
    return Task(id=task, source="").short_id + ("" if seed is None else f", seed {seed}")


def powers(groups: Sequence[Mapping[str, Any]], axis: str) -> list[int]:
    largest = max((each[axis][-1] for each in groups), default=0)
    return [1 << power for power in range(largest.bit_length())]


def at_points(curve: Mapping[str, Any], axis: Sequence[int], points: Sequence[int]) -> Iterator[str]:
    places = {point: place for place, point in enumerate(axis)}
    shown = {point: curve["value"][places[point]] for point in points if point in places}
    return ("" if point not in shown else "-" if shown[point] is None else as_percent(shown[point]) for point in points)


def point_of(curve: Mapping[str, Any], place: int) -> dict[str, Any] | None:
    if curve["value"][place] is None:
        return None
    return {name: None if curve[name] is None else curve[name][place] for name in ("value", "low", "high")}


def ends_of(estimate: Mapping[str, float]) -> tuple[float, float] | None:
    return None if estimate["low"] is None else (estimate["low"], estimate["high"])


def rate_of(estimate: Mapping[str, float] | None) -> str:
    return "-" if estimate is None else as_rate(estimate["value"], ends_of(estimate))


def times_of(estimate: Mapping[str, float] | None) -> str:
    return "-" if estimate is None else as_times(estimate["value"], ends_of(estimate))


def interval_of(estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return "-"
    ends = ends_of(estimate)
    return f"{estimate['value']:.2f}" + ("" if ends is None else f" [{ends[0]:.2f}, {ends[1]:.2f}]")


def points_of(value: float | None, estimate: Mapping[str, float] | None = None) -> str:
    if value is None:
        return "-"
    ends = None if estimate is None else ends_of(estimate)
    return f"{100 * value:.1f}" + ("" if ends is None else f" [{100 * ends[0]:.0f}, {100 * ends[1]:.0f}]")


def rho_of(rho: float | None, p: float | None) -> str:
    return "-" if rho is None or p is None else f"{rho:.3f} ({p_of(p)})"


def p_of(p: float) -> str:
    return f"{p:.2g}"


def number_of(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else as_digits(value)
