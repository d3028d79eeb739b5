"""Numbers as people read them, to about three digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def as_rate(rate: float | None, interval: Sequence[float] | None = None) -> str:
    """``80 % [49, 94]``; ``99.6 %`` where rounding would say all."""
    if rate is None:
        return "-"
    shown = f"{as_percent(rate)} %"
    return shown if interval is None else f"{shown} [{as_percent(interval[0])}, {as_percent(interval[1])}]"


def as_percent(rate: float) -> str:
    percent = 100 * rate
    if percent in (0, 100) or 0.5 <= percent <= 99.4 or percent > 100:
        return f"{percent:.0f}"
    if percent < 0.05 or percent >= 99.95:
        return "<0.1" if percent < 0.05 else ">99.9"
    return f"{percent:.1f}"


Ends = tuple[float, "float | None"]


def as_times(value: float | None, interval: Sequence[float | None] | None = None) -> str:
    """``1.42x [1.39, 1.45]``, to about three digits; an upper end of None is unbounded: ``1.42x [1.39, ∞]``."""
    if value is None:
        return "-"
    shown = f"{as_digits(value)}x"
    if interval is None or interval[0] is None:
        return shown
    high = "∞" if interval[1] is None else as_digits(interval[1])
    return f"{shown} [{as_digits(interval[0])}, {high}]"


def ends_of(low: float | None, high: float | None) -> Ends | None:
    """The interval of one speed-up, for ``as_times``; None where its lower end is not known."""
    return None if low is None else (low, high)


def as_digits(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def as_points(difference: Mapping[str, float | None]) -> str:
    """``+12 [-3, 27]``: a difference of two rates, in percentage points, with its interval where there is one."""
    value, low, high = (difference[end] for end in ("value", "low", "high"))
    if value is None:
        return "-"
    interval = "" if low is None or high is None else f" [{_signed(low)}, {_signed(high)}]"
    return _signed(value) + interval


def _signed(difference: float) -> str:
    shown = f"{100 * difference:+.0f}"
    return "0" if shown in ("+0", "-0") else shown


def as_amount(value: float | None) -> str:
    """``5,120`` or ``3.42``."""
    return "-" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def scope(report: Mapping[str, Any]) -> str:
    """``20 tasks``, or ``20 tasks, 3 seeds``."""
    tasks = counted(len({unit["task"] for unit in report["units"].values()}), "task")
    return tasks if len(report["seeds"]) <= 1 else f"{tasks}, {len(report['seeds'])} seeds"


def counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def last_point(curve: Mapping[str, Any]) -> dict[str, Any]:
    """A curve of ``report.json`` at its end, as an estimate: ``value``, ``low`` and ``high``."""
    return {key: curve[key][-1] if curve.get(key) else None for key in ("value", "low", "high")}


GAP = "  "


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right, each as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        GAP.join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
