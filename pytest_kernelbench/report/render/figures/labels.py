"""Labels of points in a column beside a panel, set apart where the points lie close together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_kernelbench.report.render.figures.style import MARGIN_COLOR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The height of one line of a label, and of a panel without its title and its horizontal axis.
LABEL_INCHES, PANEL_INCHES = 0.155, 2.2


def labels_beside(
    axis: Axes, points: Sequence[tuple[float, float, str]], *, panel_inches: float = PANEL_INCHES
) -> None:
    """A label for each point (x, y, text) in a column to the right of ``axis``, with a line from the point.

    Points stay where their values are. Labels that would lie on each other are set apart, within the height of the
    axes, ``panel_inches``: ``inches_for`` says how high that must be.
    """
    ordered = sorted(points, key=lambda each: each[1])
    low, high = axis.get_ylim()
    line = LABEL_INCHES / panel_inches
    places = _set_apart([((y - low) / (high - low), line * (1 + text.count("\n"))) for _, y, text in ordered])
    for (x, y, text), place in zip(ordered, places, strict=True):
        axis.annotate(
            text,
            (x, y),
            xytext=(1.05, place),
            textcoords="axes fraction",
            va="center",
            fontsize=7.5,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": MARGIN_COLOR,
                "linewidth": 0.6,
                "shrinkA": 1,
                "shrinkB": 3,
                "relpos": (0, 0.5),  # from the left edge: a line from the middle would cross other labels
            },
        )


def inches_for(lines: int) -> float:
    """How high axes must be for so many lines of labels beside them."""
    return max(PANEL_INCHES, lines * LABEL_INCHES)


def _set_apart(places_and_sizes: Sequence[tuple[float, float]]) -> list[float]:
    """Ascending places of labels, moved so that no two overlap; crowded labels are placed around their common middle.

    Sizes are shares of the height. Where all sizes together are at most 1, every label is between 0 and 1.
    """

    def within(centre: float, sizes: Sequence[float]) -> float:
        return min(max(centre, sum(sizes) / 2), 1 - sum(sizes) / 2)

    groups: list[tuple[float, list[float]]] = []  # centre, and the sizes of its members
    for place, size in places_and_sizes:
        groups.append((within(place, [size]), [size]))
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < (sum(groups[-1][1]) + sum(groups[-2][1])) / 2:
            (second, upper), (first, lower) = groups.pop(), groups.pop()
            n, m = len(upper), len(lower)
            groups.append((within((first * m + second * n) / (m + n), lower + upper), lower + upper))
    found = []
    for centre, sizes in groups:
        edge = centre - sum(sizes) / 2
        for size in sizes:
            found.append(edge + size / 2)
            edge += size
    return found
