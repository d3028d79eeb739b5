"""How every figure looks: one palette, one size, series told apart in black and white too.

Colours are Okabe and Ito's, which the colour-blind can tell apart; each series has a marker and a dash of its own.
"""

from __future__ import annotations

import logging
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#666666"
MARGIN_COLOR, GRID, THIN = "#999999", "#dddddd", "#bbbbbb"

SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that a figure is the same on every machine
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "text.parse_math": False,  # a strategy may be called $x$
    "svg.fonttype": "path",
    "svg.hashsalt": "pytest-kernelbench",  # the same numbers make the same file
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """How one line or row of dots is drawn; ``steps``: a value holds until the next x."""

    color: str
    marker: str
    dash: Any = "-"
    steps: bool = False


SERIES = (
    Series(color=BLUE, marker="o"),
    Series(color=VERMILION, marker="s", dash="--"),
    Series(color=GREEN, marker="^", dash="-."),
    Series(color=PURPLE, marker="D", dash=(0, (4, 1, 1, 1, 1, 1))),
    Series(color=ORANGE, marker="v", dash=(0, (6, 2))),
    Series(color=SKY, marker="P", dash=(0, (2, 1))),
    Series(color=BLACK, marker="*", dash=(0, (1, 1))),
    Series(color=GREY, marker="X", dash=(0, (5, 1, 1, 1))),
)


def series_of(number: int) -> Series:
    """Marker and dash differ for the first 32 numbers, whatever the colour: eight looks, then each marker with another
    dash.
    """
    again, place = divmod(number, len(SERIES))
    marker, dash = SERIES[(place + again) % len(SERIES)].marker, SERIES[(place + 3 * again) % len(SERIES)].dash
    return Series(color=SERIES[place].color, marker=marker, dash=dash)


NULL = Series(color=BLACK, marker="", dash=":")
IDENTITY = Series(color=GREY, marker="x", dash=(0, (3, 1, 1, 1)))


class NotDrawn(Exception):
    """There is no data for the figure; the text ends the sentence "no NAME: ..."."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """``title`` states the result, ``caption`` describes the data: units, n and intervals."""

    title: str
    caption: str
    figure: Figure


@contextmanager
def house_style() -> Iterator[None]:
    # Where the home folder cannot be written, matplotlib makes do with a temporary one and warns of slowness.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib

    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        # A strategy's name may hold characters that the font lacks: a box in a figure is no reason to end a run.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        yield


COLUMN_INCHES = 5.2
PNG_DPI = 200


def new_figure(panels: int = 1, *, height: float = 3.1) -> tuple[Figure, list[Axes]]:
    """A figure as wide as a column of a page, with ``panels`` axes; inches, ``height`` of one.

    They stand below each other: side by side, they could not be read on a narrow page.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(COLUMN_INCHES, height * panels))
    # Margins wide enough for text that is wider in one file format than in the other.
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.05)
    return figure, list(figure.subplots(panels, squeeze=False).flat)


def finish(figure: Figure, title: str, caption: str) -> Drawing:
    """``title`` over the whole figure, at its left edge, in lines that fit."""
    columns = int(figure.get_figwidth() * 12.5)
    lines = textwrap.wrap(title, columns, break_on_hyphens=False)
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    return Drawing(title=title, caption=caption, figure=figure)


def percent_axis(axis: Axes, label: str) -> None:
    """The vertical axis in %, from 0 to 100."""
    axis.set_ylim(-3, 103)
    axis.set_yticks([0, 25, 50, 75, 100])
    y_label(axis, label)


def y_label(axis: Axes, label: str) -> None:
    """In lines that are no longer than a panel is high."""
    axis.set_ylabel(textwrap.fill(label, 30))


def count_axis(axis: Axes, label: str, largest: float) -> None:
    """The horizontal axis logarithmic, from 1, with powers of two for ticks."""
    ticks = [2**power for power in range(64) if 2**power <= largest]
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel(label)


def step_axis(axis: Axes, steps: Sequence[int]) -> None:
    """The horizontal axis of steps of adaptation, whole ones, about a dozen labelled."""
    axis.set_xticks(list(steps) if len(steps) <= 12 else list(steps[:: len(steps) // 8]))
    axis.set_xlabel("step")


def curve(
    axis: Axes, xs: Sequence[float], values: Mapping[str, Any], label: str, series: Series, *, scale: float = 100
) -> None:
    """A curve of ``report.json`` with its band; by default a rate, drawn in %."""
    shown = [(x, y) for x, y in zip(xs, values["value"], strict=True) if y is not None]
    axis.plot(
        [x for x, _ in shown],
        [scale * y for _, y in shown],
        color=series.color,
        linestyle=series.dash,
        marker=series.marker,
        markevery=every_octave([x for x, _ in shown]),
        drawstyle="steps-post" if series.steps else "default",
        label=label,
    )
    bounds = [
        (x, scale * low, scale * high)
        for x, low, high in zip(xs, values["low"] or (), values["high"] or (), strict=False)
        if low is not None and high is not None
    ]
    if bounds:
        at, lows, highs = zip(*bounds, strict=True)
        step = "post" if series.steps else None
        axis.fill_between(at, lows, highs, color=series.color, alpha=0.15, linewidth=0, step=step)


def curves(
    axis: Axes,
    xs: Sequence[float],
    named: Mapping[str, tuple[Mapping[str, Any], Series]],
    *,
    scale: float = 100,
    alike: float = 0.005,
) -> None:
    """Curves by label. Curves that coincide everywhere, to ``alike``, are one line, labelled with all their names.

    In a figure of several panels, which share a legend, such a line has the first of the names there, and all of them
    are written above its panel.
    """
    drawn: list[tuple[list[str], Mapping[str, Any], Series]] = []
    for label, (values, series) in named.items():
        same = next((labels for labels, other, _ in drawn if _coincide(values["value"], other["value"], alike)), None)
        if same is None:
            drawn.append(([label], values, series))
        else:
            same.append(label)
    alone = len(axis.get_figure().axes) == 1
    for labels, values, series in drawn:
        curve(axis, xs, values, " = ".join(labels) if alone else labels[0], series, scale=scale)
    if not alone:
        notes = [" = ".join(labels) for labels, *_ in drawn if len(labels) > 1]
        axis.set_title("\n".join(textwrap.fill(note, 60, break_on_hyphens=False) for note in notes), loc="right")


def panel_title(axis: Axes, title: str, **look: Any) -> None:
    """Above a panel, over what ``curves`` says there."""
    note = axis.get_title(loc="right")
    axis.set_title("", loc="right")
    axis.set_title("\n".join(filter(None, (textwrap.fill(title, 60, break_on_hyphens=False), note))), **look)


def _coincide(values: Sequence[float | None], others: Sequence[float | None], alike: float) -> bool:
    pairs = list(zip(values, others, strict=True))
    return all((a is None) == (b is None) and (a is None or b is None or abs(a - b) <= alike) for a, b in pairs)


def whisker(axis: Axes, place: float, estimate: Mapping[str, Any], color: str, *, scale: float = 1) -> None:
    """The horizontal interval of an estimate, where it has one."""
    if estimate["low"] is not None and estimate["high"] is not None:
        ends = [scale * estimate["low"], scale * estimate["high"]]
        axis.plot(ends, [place, place], color=color, linewidth=1.2)


def interval_point(axis: Axes, place: float, estimate: Mapping[str, Any], look: Series, label: str) -> None:
    """A rate or a difference of rates with its interval, in %, in the row ``place``; nothing without a value."""
    if estimate["value"] is None:
        return
    whisker(axis, place, estimate, look.color, scale=100)
    axis.plot(100 * estimate["value"], place, look.marker, color=look.color, label=label)


def log_axis(axis: Axes, label: str, unit: str = "") -> None:
    """The horizontal axis logarithmic, with plain numbers for ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    axis.set_xscale("log")
    low, high = axis.get_xlim()
    few = (1.0, 2.0, 5.0) if high / low < 200 else (1.0,)
    axis.xaxis.set_major_locator(LogLocator(subs=few) if high / low > 4 else MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value) + unit))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel(label)


def _short(value: float) -> str:
    """``0.5``, ``2000``, ``20k``, ``2M``."""
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if value >= 1e4 else f"{value:.10g}"


def room_around(values: Sequence[float], ends: Sequence[float]) -> tuple[float, float]:
    """Limits of an axis of speed-ups: all ``values``, and the ``ends`` of intervals up to four times their range.

    An interval of two tasks may go from 0.01x to 100x: drawn in full, it would hide the values.
    """
    low, high = min([*values, 1.0]), max([*values, 1.0])
    within = [max(low / MOST_BEYOND, min(high * MOST_BEYOND, each)) for each in ends]
    return min([low, *within]) / 1.05, max([high, *within]) * 1.05


MOST_BEYOND = 4.0


def speedup_axis(axis: Axes, label: str) -> None:
    """The horizontal axis logarithmic, in times, with a line at 1."""
    axis.axvline(1, color="black", linewidth=0.8)
    log_axis(axis, label, "x")


def legend_above(axis: Axes) -> None:
    """Each label once, in a row over the axes."""
    handles = {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    axis.legend(
        list(handles.values()),
        list(handles),
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        ncols=3,
        handlelength=1.3,
        columnspacing=1,
    )


def legend_below(figure: Figure, axes: Sequence[Axes], ncols: int) -> None:
    """Each label of any of ``axes`` once, long ones in lines."""
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    labels = [textwrap.fill(label, 44, break_on_hyphens=False) for label in handles]
    figure.legend(list(handles.values()), labels, loc="outside lower center", ncols=min(ncols, len(labels)))


def every_octave(xs: Sequence[float]) -> list[int]:
    """Places of tick labels: all of few ``xs``; of many, those of 1, 2, 4, ... and the last."""
    if len(xs) <= 12:
        return list(range(len(xs)))
    powers = {2**power for power in range(64)}
    return [place for place, x in enumerate(xs) if x in powers or place == len(xs) - 1]
