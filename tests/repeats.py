"""Places that do the same: windows of equal statements in two places of the package."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

WINDOW = 10
Place = tuple[Path, int]


def repeats_in(paths: Sequence[Path], window: int = WINDOW) -> list[tuple[Place, Place]]:
    """The first place of each repeated stretch of ``window`` lines, with where it repeats.

    Docstrings, comments, imports, blank lines and lines of brackets alone are left out, as is how a line is indented.
    """
    places: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for path in paths:
        lines = list(_lines_of(path))
        for start in range(len(lines) - window + 1):
            stretch = lines[start : start + window]
            places[tuple(text for _, text in stretch)].append((path, stretch[0][0]))
    found = [(first, other) for first, *others in places.values() for other in others]
    seen: set[tuple[Path, Path]] = set()
    return [each for each in found if (pair := (each[0][0], each[1][0])) not in seen and not seen.add(pair)]


def _lines_of(path: Path) -> Iterator[tuple[int, str]]:
    text = path.read_text()
    left_out = {number for node in ast.walk(ast.parse(text)) for number in _no_code(node)}
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.partition("  # ")[0].strip()
        if number not in left_out and not bare.startswith("#") and any(each.isalnum() for each in bare):
            yield number, bare


def _no_code(node: ast.AST) -> range:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if is_text or isinstance(node, ast.Import | ast.ImportFrom):
        return range(node.lineno, (node.end_lineno or node.lineno) + 1)
    return range(0)
