"""The figures of a report, each from the values of ``report.json`` alone.

To add one: write ``figures/<name>.py`` with a ``draw(report)`` that returns a ``Drawing`` and raises ``NotDrawn`` with
the reason where the report has no data for it, as that of a run without tasks; and add its line to ``FIGURES``. The
title says what the figure shows, the caption is a sentence, and colours are those of ``style``, which have a
counterpart for a dark page. ``tests/report/render/test_reports_figures.py`` checks this for every line of the table.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_kernelbench.report.render.figures import (
    adaptive_k,
    budget,
    calibration,
    cost,
    learning_rates,
    margins,
    null,
    prefilter,
    regimes,
    rho_trajectory,
    scaling,
    selection,
    teaser,
    trajectory,
    transfer,
)
from pytest_kernelbench.report.render.figures.style import PNG_DPI, Drawing, NotDrawn, house_style

# Figures of one panel first: two of them are placed side by side.
FIGURES = {
    "teaser": teaser.draw,
    "scaling": scaling.draw,
    "prefilter": prefilter.draw,
    "null": null.draw,
    "trajectory": trajectory.draw,
    "rho_trajectory": rho_trajectory.draw,
    "margins": margins.draw,
    "learning_rates": learning_rates.draw,
    "selection": selection.draw,
    "regimes": regimes.draw,
    "calibration": calibration.draw,
    "adaptive_k": adaptive_k.draw,
    "transfer": transfer.draw,
    "cost": cost.draw,
    "budget": budget.draw,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnFigure:
    """``svg`` is a whole file's text, ``png`` another's bytes."""

    name: str
    title: str
    caption: str
    svg: str
    png: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The drawn figures, and the reason for each figure that could not be drawn."""

    drawn: tuple[DrawnFigure, ...]
    absent: Mapping[str, str]

    @property
    def reasons(self) -> dict[str, list[str]]:
        """The names of the figures that were not drawn, by reason."""
        reasons: dict[str, list[str]] = {}
        for name, reason in self.absent.items():
            reasons.setdefault(reason, []).append(name)
        return reasons


def draw_figures(report: Mapping[str, Any]) -> Figures:
    """Every figure for which ``report`` (of ``report_json``) has data. Raises ImportError without matplotlib."""
    drawn, absent = [], {}
    with house_style():
        for name, draw in FIGURES.items():
            try:
                drawing = draw(report)
            except NotDrawn as reason:
                absent[name] = str(reason)
                continue
            svg, png = _files(drawing)
            drawn.append(DrawnFigure(name=name, title=drawing.title, caption=drawing.caption, svg=svg, png=png))
    return Figures(drawn=tuple(drawn), absent=absent)


def _files(drawing: Drawing) -> tuple[str, bytes]:
    """SVG and PNG. Past ``savefig``, which draws each file twice: it does not know that the layout is done."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    svg, png, figure = io.StringIO(), io.BytesIO(), drawing.figure
    FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Title": drawing.title})
    figure.set_layout_engine("none")  # as laid out for the first
    figure.set_dpi(PNG_DPI)
    FigureCanvasAgg(figure).print_png(
        png, pil_kwargs={"compress_level": 2}
    )  # half of the time of 6, a third more bytes
    return svg.getvalue(), png.getvalue()


def write_figures(figures: Figures, folder: Path) -> None:
    """Write ``NAME.svg`` and ``NAME.png`` into ``folder``; remove files of an earlier report that are not drawn now."""
    folder.mkdir(exist_ok=True)
    for name in figures.absent:
        for suffix in ("svg", "png"):
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    for figure in figures.drawn:
        (folder / f"{figure.name}.svg").write_text(figure.svg, encoding="utf-8")
        (folder / f"{figure.name}.png").write_bytes(figure.png)
