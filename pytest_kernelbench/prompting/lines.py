"""Code in a text without fences: the run of its lines that is Python."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_kernelbench.prompting.bodies import parses_as_body
from pytest_kernelbench.prompting.mending import without_tags
from pytest_kernelbench.prompting.modules import MODEL_NEW, defines_model_new

BEGINS_MODEL_NEW = re.compile(r"class[ \t]+ModelNew[ \t]*[(:]")
STARTS_CODE = re.compile(r"(?:import|from|class|def|async|@|#|[A-Za-z_][\w.]*[ \t]*(?::[^=]+)?=[^=]|\"\"\"|''')")
# A line of code after the end of the code: the lines between the two were cut off, or are wrong.
GOES_ON = re.compile(
    r"[ \t]+\S|import \w|from [\w.]+ import|class \w+\s*[(:]|(?:async )?def \w+\s*\(|"
    r"@\w|return\b|[)}]|\](?!\]>)|\w[\w.\[\]]*[ \t]*=[ \t]*\S"
)
STARTS_BODY = re.compile(
    r"[ \t]*(?:return\b|import |from \w+ import|def \w+\(|class \w+\s*[(:]|@\w|"
    r"[A-Za-z_][\w.\[\], ]*[ \t]*(?:[-+*/@]?=)[^=]|(?:for|if|with|while)\b.*:\s*$)"
)
RETURNS = re.compile(r"^[ \t]*return\b", re.MULTILINE)
NO_PYTHON = "the text, which is no Python"
# A text is read from its first lines that look like code, each cut where it stops to be Python.
MOST_STARTS = 24
MOST_CUTS = 48


@dataclass(frozen=True, slots=True)
class Run:
    """``code`` is ``text[start:end]``, but for tags before it; ``part`` is its place in words."""

    code: str
    start: int
    end: int
    part: str = "the whole text"


def module_lines(text: str) -> Run | None:
    """The longest run of lines that is a module; the whole text, where it is one, and where no run is.

    None where the text has no line that begins the class.
    """
    if MODEL_NEW not in text:
        return None
    text = without_tags(text)
    lines = text.split("\n")
    if defines_model_new(text) and not "".join(lines[_end_of_python(lines, 0) :]).strip():
        return Run(text, 0, len(text))
    starts = [number for number, line in enumerate(lines) if STARTS_CODE.match(line)]
    named = next((number for number, line in enumerate(lines) if BEGINS_MODEL_NEW.match(line)), None)
    for start in [each for each in starts if named is not None and each <= named][:MOST_STARTS]:
        end = _end_of_python(lines, start)
        source = "\n".join(lines[start:end])
        after = next((line for line in lines[end:] if line.strip()), "")
        if defines_model_new(source) and not GOES_ON.match(after):
            place = _place_of(lines, start)
            return Run(source, place, place + len(source), f"lines {start + 1} to {end}")
    if named is None:
        return None
    # Cut off, or not Python: the compiler says where.
    first = starts[0] if starts else named
    return Run("\n".join(lines[first:]), _place_of(lines, first), len(text), NO_PYTHON)


def _end_of_python(lines: Sequence[str], start: int) -> int:
    """Where the Python that begins with line ``start`` ends: before the first line that makes it none."""
    end = len(lines)
    for _ in range(MOST_CUTS):
        try:
            tree = compile("\n".join(lines[start:end]), "answer", "exec", flags=0x400, dont_inherit=True)
        except SyntaxError as error:
            cut = start + max(1, min(error.lineno or 1, end - start)) - 1
            end = cut if cut < end else end - 1
        except (ValueError, RecursionError, MemoryError):
            return start
        else:
            # A single word after the code is Python, and a farewell.
            body = getattr(tree, "body", [])
            while body and type(body[-1]).__name__ == "Expr" and type(body[-1].value).__name__ in ("Name", "Tuple"):
                end = start + body.pop().lineno - 1
            while end > start and not lines[end - 1].strip():
                end -= 1
            return end
        if end <= start:
            return start
    return start


def body_lines(text: str) -> Run | None:
    """The whole text where it is Python; else its first lines that are; else all of it from the first that looks so."""
    if not text.strip():
        return None
    if parses_as_body(text):
        return Run(text, 0, len(text))
    text = without_tags(text)
    lines = text.split("\n")
    starts = [number for number, line in enumerate(lines) if STARTS_BODY.match(line)]
    for start in starts[:MOST_STARTS]:
        indent = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
        end = start + _end_of_python([line.removeprefix(indent) for line in lines[start:]], 0)
        code = "\n".join(lines[start:end])
        if RETURNS.search(code) and parses_as_body(code):
            place = _place_of(lines, start)
            return Run(code, place, place + len(code))
    # Cut off, or not Python: the compiler says where.
    return Run(text, 0, len(text)) if starts else None


def _place_of(lines: Sequence[str], number: int) -> int:
    """Where, in characters, a line begins."""
    return sum(len(line) + 1 for line in lines[:number])
