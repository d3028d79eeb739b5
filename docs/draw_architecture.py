"""Draws docs/architecture.svg: the rooms of the package and what they import, read from the modules themselves.

    python docs/draw_architecture.py

An arrow goes to a room that is imported, unless a longer way of arrows leads there: every import points down.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from rooms import ROOMS, neighbours_of  # noqa: E402

FILE = HERE / "architecture.svg"
# The steps of one item, as docs/architecture.md counts them.
STEPS = {
    "plugin": "1 9",
    "pipeline": "2",
    "prompting": "3 5",
    "policies": "4",
    "evaluation": "6 8",
    "selection": "7",
}
BOX_WIDTH, BOX_HEIGHT, GAP, ROW, MARGIN = 124, 40, 22, 84, 24
STYLE = """\
  .ground { fill: #ffffff } .box { fill: #eef2f7; stroke: #5b6b7f } .way { fill: #dcebd9; stroke: #3f7a35 }
  .line { stroke: #8a97a6; fill: none } .head { fill: #8a97a6 } text { fill: #1b2430; font: 13px sans-serif }
  .step { fill: #2f6b26; font-weight: bold; font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #12161c } .box { fill: #232b36; stroke: #8fa1b8 } .way { fill: #20361d; stroke: #7cc26f }
    .line { stroke: #6f7e90 } .head { fill: #6f7e90 } text { fill: #e6ebf2 } .step { fill: #9be08c }
  }"""


def arrows() -> dict[str, set[str]]:
    """The imports of each room. An import is left out where a longer chain of imports leads to the same room."""
    direct = {room: neighbours_of(room) for room in ROOMS}
    below: dict[str, set[str]] = {}
    for room in reversed(ROOMS):
        below[room] = direct[room].union(*(below[each] for each in direct[room])) if direct[room] else set()
    return {room: direct[room].difference(*(below[each] for each in direct[room])) for room in ROOMS}


def rows_of(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Rooms by row, as low as what they import allows; within a row, near the rooms that import them."""
    depth: dict[str, int] = {}
    for room in reversed(ROOMS):
        depth[room] = 1 + max((depth[each] for each in arrows[room]), default=0)
    rows = [[room for room in ROOMS if depth[room] == level] for level in range(max(depth.values()), 0, -1)]
    place = {room: number / (len(row) + 1) for row in rows for number, room in enumerate(row, start=1)}
    for _ in range(8):
        for row in rows:
            near = {
                room: [place[each] for each in ROOMS if room in arrows[each] or each in arrows[room]] for room in row
            }
            row.sort(key=lambda room: sum(near[room]) / len(near[room]) if near[room] else 0.5)
            place |= {room: number / (len(row) + 1) for number, room in enumerate(row, start=1)}
    return rows


def drawn() -> str:
    """The picture as SVG."""
    links = arrows()
    rows = rows_of(links)
    width = 2 * MARGIN + max(len(row) for row in rows) * (BOX_WIDTH + GAP) - GAP
    height = 2 * MARGIN + (len(rows) - 1) * ROW + BOX_HEIGHT
    corner = {}
    for number, row in enumerate(rows):
        step = (width - 2 * MARGIN - len(row) * BOX_WIDTH) / (len(row) + 1)
        for place, room in enumerate(row):
            corner[room] = MARGIN + step + place * (BOX_WIDTH + step), MARGIN + number * ROW
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<title>The rooms of pytest_kernelbench and their imports</title>",
        f"<style>\n{STYLE}\n</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0 L8 4 L0 8 z"/></marker></defs>',
        f'<rect class="ground" width="{width}" height="{height}"/>',
    ]
    for room, below in links.items():
        for other in sorted(below):
            (x, y), (to_x, to_y) = corner[room], corner[other]
            x, to_x, y = x + BOX_WIDTH / 2, to_x + BOX_WIDTH / 2, y + BOX_HEIGHT
            bend = (to_y - y) / 2
            way = f"M{x:.0f} {y} C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y}"
            lines.append(f'<path class="line" marker-end="url(#head)" d="{way}"/>')
    for room, (x, y) in corner.items():
        kind = "way" if room in STEPS else "box"
        size = f'width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"'
        lines.append(
            f'<g><title>{escape(ROOMS[room].sentence)}</title><rect class="{kind}" x="{x:.0f}" y="{y}" {size}/>'
        )
        lines.append(f'<text x="{x + BOX_WIDTH / 2:.0f}" y="{y + 25}" text-anchor="middle">{escape(room)}</text>')
        if room in STEPS:
            lines.append(f'<text class="step" x="{x + 6:.0f}" y="{y + 13}">{STEPS[room]}</text>')
        lines.append("</g>")
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    if "--print" in sys.argv[1:]:
        sys.stdout.write(drawn())
    else:
        FILE.write_text(drawn(), encoding="utf-8")
