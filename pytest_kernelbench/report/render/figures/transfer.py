"""Before and after adaptation, on the tasks that were trained on and on others."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_kernelbench.report.analyses.transfer import OTHERS
from pytest_kernelbench.report.render.figures.style import (
    SERIES,
    Drawing,
    NotDrawn,
    finish,
    interval_point,
    legend_below,
    new_figure,
)
from pytest_kernelbench.report.render.numbers import as_points, scope


def draw(report: Mapping[str, Any]) -> Drawing:
    found = report["analyses"]["transfer"]
    if not found:
        raise NotDrawn("no strategy adapted to some of the tasks and not to others")
    cells = [
        (row, name, cell)
        for row in found["rows"]
        for name, cell in row["cells"].items()
        if "refusal" not in cell and cell["per_sample"]["raw"]["base"]
    ]
    if not cells:
        raise NotDrawn("no set of tasks was sampled both before and after adaptation")
    verified = all(cell["per_sample"]["verified"]["base"] for _, _, cell in cells)
    reading = "verified" if verified else "raw"
    figure, (rates, gains) = new_figure(2, height=1.7 + 0.5 * len(cells))
    for place, (_, _, cell) in enumerate(reversed(cells)):
        sides = cell["per_sample"][reading]
        for side, up, look in (("base", 0.16, SERIES[1]), ("adapted", -0.16, SERIES[0])):
            label = f"{'as loaded' if side == 'base' else 'adapted'} [95 %]"
            interval_point(rates, place + up, sides[side], look, label)
        if sides["difference"]:
            interval_point(gains, place, sides["difference"], SERIES[2], "gain, paired [95 %]")
    gains.axvline(0, color="black", linewidth=0.8)
    for axis in (rates, gains):
        axis.set_yticks(range(len(cells)), [_label(*each) for each in reversed(cells)])
        axis.set_ylim(-0.6, len(cells) - 0.4)
        axis.grid(axis="y", visible=False)
    rates.set_xlim(-3, 103)
    rates.set_xlabel(f"{reading} fast answers, %")
    gains.set_xlabel("gain, points")
    legend_below(figure, (rates, gains), 3)
    caption = (
        f"The same tasks, as many answers each, one session, first timings; {scope(report)}. Lines: 95 % over tasks. "
        "On tasks that were trained on, a step that was chosen by these rollouts flatters itself."
    )
    return finish(figure, _title(cells, reading), caption)


def _label(row: Mapping[str, Any], name: str, cell: Mapping[str, Any]) -> str:
    of = "trained on" if cell["trained"] else "not trained on"
    lines = textwrap.wrap(f"{name} ({cell['tasks']})", 34, break_on_hyphens=False, max_lines=2, placeholder=" ...")
    return "\n".join([f"{row['strategy']}, {of}:", *lines])


def _title(cells: Sequence[tuple[Any, str, Any]], reading: str) -> str:
    said = [
        f"{row['strategy']}{f' on {name}' if name != OTHERS else ''} {as_points(difference)}"
        for row, name, cell in cells
        if not cell["trained"] and (difference := cell["per_sample"][reading]["difference"])
    ]
    if not said:
        return "Adaptation on the tasks that it trained on; on others nothing can be compared"
    return f"On tasks that were not trained on, in points: {'; '.join(said)}"
