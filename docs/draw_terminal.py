"""Draws docs/terminal.svg: what a run printed, as a terminal shows it.

    pytest --strategy=surprisal-top3 | tee output.txt
    python docs/draw_terminal.py output.txt

Lines are drawn as they were printed, from the first that says how many items were collected. Lines that name a folder
of the machine are left out, and so is the command to resume, which names one as well.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path

FILE = Path(__file__).parent / "terminal.svg"
FIRST = re.compile(r"collected \d+ items?$")
NAMES_A_FOLDER = re.compile(r"(^| |=)/\w")
COLUMNS = 80
# Pixels: of one character, of a line, and around the text.
CHARACTER, LINE, MARGIN, BAR = 7.83, 17, 18, 34
STYLE = """\
  .ground { fill: #16191f; stroke: #3a414c } text { fill: #d9dee6; font: 13px "DejaVu Sans Mono", Menlo, Consolas,
  monospace; white-space: pre } .rule { fill: #7fb3ff } .passed { fill: #7ccf6f }"""


def shown_of(printed: str) -> list[str]:
    """The lines to draw. Raises ValueError where none says that items were collected."""
    lines = printed.rstrip().splitlines()
    first = next((number for number, line in enumerate(lines) if FIRST.match(line)), None)
    if first is None:
        raise ValueError("no line says how many items were collected; save the output of a whole run")
    kept = [line.rstrip() for line in lines[first:] if not NAMES_A_FOLDER.search(line)]
    # What was left out may have stood between two empty lines.
    return [line for number, line in enumerate(kept) if line or (number and kept[number - 1])]


def drawn(lines: Sequence[str]) -> str:
    """The picture as SVG: every line is text, stretched to as many columns as it has characters."""
    width = MARGIN * 2 + max(COLUMNS, *map(len, lines)) * CHARACTER
    height = BAR + len(lines) * LINE + MARGIN
    rows = [_row(line, BAR + (number + 0.75) * LINE) for number, line in enumerate(lines) if line]
    buttons = [
        f'<circle cx="{MARGIN + 4 + 18 * number}" cy="{BAR / 2}" r="5" fill="{color}"/>'
        for number, color in enumerate(("#ff6159", "#ffbd2e", "#28c941"))
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="Output of pytest in a terminal">'
    )
    ground = f'<rect class="ground" x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" rx="8"/>'
    return "\n".join([head, f"<style>\n{STYLE}\n</style>", ground, *buttons, *rows, "</svg>", ""])


def _row(line: str, y: float) -> str:
    indent = len(line) - len(line.lstrip())
    text = line.strip()
    rule = ' class="passed"' if " passed in " in text else ' class="rule"' if text.startswith("==") else ""
    place = f'x="{MARGIN + indent * CHARACTER:g}" y="{y:g}" textLength="{len(text) * CHARACTER:g}"'
    return f'<text{rule} {place} xml:space="preserve">{escape(text)}</text>'


if __name__ == "__main__":
    try:
        lines = shown_of(Path(sys.argv[1]).read_text(encoding="utf-8"))
    except (IndexError, OSError, ValueError) as error:
        sys.exit(f"python docs/draw_terminal.py FILE: {error}")
    FILE.write_text(drawn(lines), encoding="utf-8")
