"""A figure for a page that may be dark: the same file, with other colours for a reader who prefers dark.

Files in ``figures/`` stay light, for papers: many programs that read SVG know no media queries.
"""

from __future__ import annotations

from pytest_kernelbench.report.render.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    GRID,
    MARGIN_COLOR,
    ORANGE,
    PURPLE,
    SKY,
    THIN,
    VERMILION,
)

INK, PAPER = "#e4e7eb", "#14171b"
# On a dark ground each has a contrast of at least 4.5, lines of the background less.
DARK = {
    BLUE: "#58a6e8",
    VERMILION: "#ff8a4c",
    GREEN: "#2fc79b",
    PURPLE: "#e6a3c6",
    ORANGE: "#f2b84b",
    SKY: "#a8dcf8",
    BLACK: INK,
    GREY: "#a3abb5",
    MARGIN_COLOR: "#8b949e",
    THIN: "#4d565f",
    GRID: "#363c44",
    "#ffffff": PAPER,
}


def themed(svg: str) -> str:
    """``svg`` as matplotlib writes it, with a style sheet for ``prefers-color-scheme: dark``."""
    rules = [
        f'[style*="{what}: {light.lower()}"]{{{what}:{dark}!important}}'
        for light, dark in DARK.items()
        for what in ("fill", "stroke")
    ]
    # Black text has no style of its own.
    sheet = f"@media (prefers-color-scheme: dark){{svg{{fill:{INK}}}{''.join(rules)}}}"
    head, end, rest = svg.partition("<defs>")
    return f"{head}<style>{sheet}</style>{end}{rest}"
