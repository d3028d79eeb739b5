"""Code that is written in another form than Python, brought back to it: escaped, numbered, a diff, a JSON string.

Each change is tried only where the code is not what the caller wants, and kept only where it then is. A text that no
change makes right stays as it was written, so that the compiler names its fault.
"""

from __future__ import annotations

import ast
import html
import json
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from pytest_kernelbench.prompting.modules import parsed

Wanted = Callable[[str], bool]

# Marks of direction and of where a word may break, byte order marks, and the colours of a terminal.
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]|\x1b\\[[0-9;]*m")
SPACES = re.compile("[\u00a0\u2007\u202f]")
LINE_ENDS = re.compile("[\u0085\u2028\u2029]")
ESCAPE = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#\d+|#x[0-9a-fA-F]+);")
PROMPT = re.compile(r"[ \t]*(?:>>> ?|\.\.\.(?: |$)|In \[\d+\]: ?|[ ]*\.\.\.: ?)(.*)")
QUOTED = re.compile(r"[ \t]*>[ \t]?")
# A line that is a tag and nothing else.
TAG_LINE = re.compile(r"^[ \t]*(?:</?[A-Za-z][^<>\n]*>)+[ \t]*$", re.MULTILINE)
NUMBERED = re.compile(r"[ \t]*(\d+)(?:[ \t]?[|:│→][ ]?|[ \t]|$)(.*)")
# A notebook's commands to the shell and to itself, and the label of a button that a page shows above code.
COMMAND = re.compile(r"[ \t]*(?:%{1,2}[A-Za-z]|![A-Za-z.]).*|Copy code|Copy")
DIFF_HEAD = ("---", "+++", "@@", "diff --git", "index ", "new file mode", "\\ No newline")
SEARCH, MIDDLE, REPLACE = "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"
# Tags around code, each as long as the blanks in its place, so that places in the text stay as they are.
OPENING = re.compile(
    r"^[ \t]*(?:<\|?[A-Za-z][\w:|.-]*(?:[ \t][^<>\n]*)?>|<!\[CDATA\[|\[PYTHON\])+(?=[^\s<])", re.MULTILINE
)
ENDING = re.compile(r"(?<=\S)(?:\]\]>|</[A-Za-z][\w:.-]*>|\[/PYTHON\])+[ \t]*$", re.MULTILINE)
# Where JSON may begin in a text. Each place is read once, to the end of the value.
JSON_STARTS = re.compile(r"[{\[]")
MOST_VALUES = 64
MOST_DEPTH = 8
FENCE = "~" * 12


def mended(code: str, wanted: Wanted) -> tuple[str, str] | None:
    """``code`` after the fewest changes that make it ``wanted``, and the changes in words; None where none does."""
    done: list[str] = []
    for name, change in CHANGES.items():
        changed = change(code)
        if changed is not None and changed != code:
            code = changed
            done.append(name)
            if wanted(code):
                return code, ", ".join(done)
    return None


def visible(code: str) -> str:
    """``code`` without invisible characters, and with plain spaces and line ends."""
    return LINE_ENDS.sub("\n", SPACES.sub(" ", INVISIBLE.sub("", code)))


def unescaped(code: str) -> str:
    """``code`` with the characters that HTML's escapes stand for."""
    return html.unescape(code) if ESCAPE.search(code) else code


def with_line_ends(code: str) -> str:
    """``code`` whose line ends are written as two characters, in one line."""
    one_line = code.strip().count("\n") == 0
    return code.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"') if one_line else code


def without_prompts(code: str) -> str | None:
    """The input of an interactive session, without its prompts and outputs; None where there is none."""
    lines = [match[1] for line in code.split("\n") if (match := PROMPT.fullmatch(line))]
    return "\n".join(lines) if lines else None


def unquoted(code: str) -> str | None:
    """A quotation without its marks; None where a line has none."""
    lines = [line for line in code.split("\n") if line.strip()]
    if not lines or not all(QUOTED.match(line) for line in lines):
        return None
    return textwrap.dedent("\n".join(QUOTED.sub("", line, count=1) for line in code.split("\n")))


def without_numbers(code: str) -> str | None:
    """The code of a numbered listing; None where its lines do not count up."""
    found = [NUMBERED.fullmatch(line) for line in code.strip("\n").split("\n") if line.strip()]
    numbers = [int(each[1]) for each in found if each]
    if len(numbers) < max(2, len(found)) or any(after - before != 1 for before, after in pairwise(numbers)):
        return None
    return textwrap.dedent("\n".join(each[2] for each in found if each))


def without_commands(code: str) -> str:
    """The cell of a notebook without its commands."""
    return "\n".join(line for line in code.split("\n") if not COMMAND.fullmatch(line))


def new_side(code: str) -> str | None:
    """The lines of a diff that it leaves or adds; None where ``code`` is no diff."""
    lines = [line for line in code.strip("\n").split("\n") if not line.startswith(DIFF_HEAD)]
    if not any(line.startswith("+") for line in lines) or any(line and line[0] not in "+- " for line in lines):
        return None
    return "\n".join(line[1:] for line in lines if not line.startswith("-"))


CHANGES: Mapping[str, Callable[[str], str | None]] = {
    "unescaped": unescaped,
    "without invisible characters": visible,
    "without tags": lambda code: TAG_LINE.sub("", code),
    "with its line ends": with_line_ends,
    "without line numbers": without_numbers,
    "without prompts": without_prompts,
    "unquoted": unquoted,
    "the new side of a diff": new_side,
    "without a notebook's commands": without_commands,
    "without its indentation": textwrap.dedent,
}


def without_tags(text: str) -> str:
    """``text`` with the tags before and after code on lines of their own; its length and places are unchanged."""
    opened = OPENING.sub(lambda match: " " * (len(match[0]) - 1) + "\n", text)
    return ENDING.sub(lambda match: "\n" + " " * (len(match[0]) - 1), opened)


def indented_run(text: str, within: re.Pattern[str]) -> str | None:
    """The lines of ``text`` that have the indentation of a match, its first group, around it; None without a match."""
    found = within.search(text)
    if found is None:
        return None
    lines, indent = text.split("\n"), found[1]
    start = end = text.count("\n", 0, found.start())
    while start > 0 and (lines[start - 1].startswith(indent) or not lines[start - 1].strip()):
        start -= 1
    while end < len(lines) and (lines[end].startswith(indent) or not lines[end].strip()):
        end += 1
    return "\n".join(lines[start:end])


# Code inside of values


def strings_in(text: str) -> Iterator[str]:
    """The strings of all JSON values in ``text``, and the code cells of a notebook as one text of fenced blocks."""
    decoder = json.JSONDecoder(strict=False)
    at = 0
    for _ in range(MOST_VALUES):
        start = JSON_STARTS.search(text, at)
        if start is None:
            return
        try:
            value, at = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            at = start.end()
        else:
            yield from _strings(value, MOST_DEPTH)


def _strings(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and depth:
        if isinstance(value.get("cells"), list):
            yield _cells(value["cells"])
        for each in value.values():
            yield from _strings(each, depth - 1)
    elif isinstance(value, list) and depth:
        for each in value:
            yield from _strings(each, depth - 1)


def _cells(cells: list[object]) -> str:
    sources = [each.get("source") for each in cells if isinstance(each, dict) and each.get("cell_type") == "code"]
    texts = ["".join(map(str, each)) if isinstance(each, list) else str(each) for each in sources]
    return "\n".join(f"{FENCE}\n{without_commands(text)}\n{FENCE}" for text in texts)


def literals_in(code: str) -> Iterator[str]:
    """The strings in a piece of Python; none where it is no Python."""
    tree = parsed(code)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


# Changes of the reference


def applied(text: str, reference: str) -> str | None:
    """The reference after the hunks of a diff, or the SEARCH and REPLACE blocks, in ``text``.

    None where there are none, and where one of them fits no place, or more than one.
    """
    changes = list(_replacements(text)) or list(_hunks(text))
    for old, new in changes:
        old, new = old.rstrip("\n"), new.rstrip("\n")
        if not old.strip() or reference.count(old) != 1:
            return None
        reference = reference.replace(old, new)
    return reference if changes else None


def _replacements(text: str) -> Iterator[tuple[str, str]]:
    old: list[str] = []
    new: list[str] = []
    into: list[str] | None = None
    for line in text.split("\n"):
        mark = line.rstrip()
        if mark == SEARCH:
            old, new = [], []
            into = old
        elif mark == MIDDLE and into is old:
            into = new
        elif mark == REPLACE and into is new:
            yield "\n".join(old), "\n".join(new)
            into = None
        elif into is not None:
            into.append(line)


def _hunks(text: str) -> Iterator[tuple[str, str]]:
    for hunk in re.split(r"^@@.*\n", text, flags=re.MULTILINE)[1:]:
        lines = []
        for line in hunk.split("\n"):
            if line and line[0] not in "+- ":
                break
            lines.append(line)
        old = "\n".join(line[1:] for line in lines if not line.startswith("+"))
        yield old, "\n".join(line[1:] for line in lines if not line.startswith("-"))
