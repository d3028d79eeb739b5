"""Success and speed-up by decile of surprisal within each task: are surprising programs the fast ones?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_kernelbench.report.render.cautions import cautioned
from pytest_kernelbench.report.render.figures.style import (
    NULL,
    SERIES,
    Drawing,
    NotDrawn,
    finish,
    legend_below,
    new_figure,
    percent_axis,
    room_around,
    y_label,
)
from pytest_kernelbench.report.render.numbers import as_rate, scope

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(report: Mapping[str, Any]) -> Drawing:
    sets = [each for each in report["analyses"]["calibration"] or () if any(row["programs"] for row in each["mean"])]
    if not sets:
        raise NotDrawn("no correct program has a log-probability and a speed-up")
    rows = max((each["mean"] for each in sets), key=lambda one: sum(row["programs"] for row in one))
    verified = any(row["fast_1"] for row in rows)
    fast = "fast_1" if verified else "fast_1_raw"
    figure, (success, speedup) = new_figure(2, height=2.9)
    _dots(success, rows, fast, 100)
    percent_axis(success, f"a task's programs that are {'verified' if verified else 'raw'} fast, %")
    _dots(speedup, rows, "geomean_speedup", 1)
    y_label(speedup, "their speed-up, geometric mean")
    found = [row["geomean_speedup"] for row in rows if row["geomean_speedup"]]
    ends = [each[end] for each in found for end in ("low", "high") if each[end] is not None]
    speedup.set_ylim(room_around([each["value"] for each in found], ends))
    for axis in (success, speedup):
        axis.set_xticks([row["decile"] for row in rows])
        axis.set_xlim(0.4, len(rows) + 0.6)
        axis.set_xlabel("decile of surprisal, 1 the most surprising")
        axis.grid(axis="x", visible=False)
    legend_below(figure, [success], 2)
    programs = [row["programs"] for row in rows]
    caption = (
        f"Distinct correct programs by the rank of their mean log-probability within the task, each once; "
        f"{scope(report)}, {min(programs)} to {max(programs)} programs a decile. Vertical: 95 % over tasks, cut beyond "
        "four times what was measured. If surprisal says nothing, all deciles are alike."
        + cautioned(sorted(found, key=lambda each: each["tasks"]))
    )
    return finish(figure, _title(rows, fast), caption)


def _dots(axis: Axes, rows: Sequence[Mapping[str, Any]], key: str, scale: float) -> None:
    known = [(row["decile"], row[key]) for row in rows if row[key]]
    for decile, each in known:
        if each["low"] is not None:
            axis.plot([decile] * 2, [scale * each["low"], scale * each["high"]], color=SERIES[0].color, linewidth=1.2)
    values = [scale * each["value"] for _, each in known]
    look = {"color": SERIES[0].color, "linestyle": "", "marker": SERIES[0].marker}
    axis.plot([decile for decile, _ in known], values, label="decile [95 %]", **look)
    if values:
        axis.axhline(sum(values) / len(values), color=NULL.color, linestyle=NULL.dash, label="mean of the deciles")


def _title(rows: Sequence[Mapping[str, Any]], fast: str) -> str:
    known = [row for row in rows if row[fast]]
    if len(known) < 2:
        return "Success by surprisal: too few programs for more than one decile"
    first, last = known[0], known[-1]
    return (
        f"In decile {first['decile']} of surprisal {as_rate(first[fast]['value'])} of programs are fast, "
        f"in decile {last['decile']}, which is less surprising, {as_rate(last[fast]['value'])}"
    )
