"""Answers as models write them, and what a person finds in them, from the two files in ``answers``.

In an answer ``«WHOLE»`` stands for one of the pieces of code at the top of its file, and ``«WHOLE|escaped»`` for the
same code in another form. ``«»`` around the words of ``SIGNS`` are characters that an editor would not show.
"""

import html
import json
import re
import textwrap
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "answers"
PLACE = re.compile(r"«(\w+)(?:\|([^»]*))?»")
SIGNS = {"BOM": "\ufeff", "ZERO_WIDTH": "\u200b", "NO_BREAK": "\u00a0", "RETURN": "\r", "TAB": "\t"}
SIGNS |= {"COLOUR": "\x1b", "LEFT_TO_RIGHT": "\u200e", "SOFT_HYPHEN": "\u00ad"}


class Written(NamedTuple):
    """``text`` is the answer, ``found`` the module or the body of ``forward`` that a person finds in it."""

    text: str
    found: str


def written(name: str) -> dict[str, Written]:
    """The answers of a file, by their names."""
    head, *entries = re.split(r"^======== (.*)\n", (FOLDER / f"{name}.txt").read_text(), flags=re.MULTILINE)
    _, *parts = re.split(r"^-------- (\w+)\n", head, flags=re.MULTILINE)
    pieces = {key: code.strip("\n") for key, code in zip(parts[::2], parts[1::2], strict=True)}
    pieces = {key: _filled(code, pieces) for key, code in pieces.items()}
    found = {}
    for title, entry in zip(entries[::2], entries[1::2], strict=True):
        text, _, wanted = entry.partition("\n-------- found\n")
        found[title] = Written(_filled(text, pieces), _filled(wanted.strip("\n"), pieces))
    return found


def _filled(text: str, pieces: dict[str, str]) -> str:
    def fill(match: re.Match[str]) -> str:
        name, form = match[1], match[2] or ""
        return SIGNS[name] if name in SIGNS else _formed(pieces[name], form)

    return PLACE.sub(fill, text)


def _formed(code: str, forms: str) -> str:
    for form in filter(None, forms.split("|")):
        kind, _, value = form.partition(":")
        lines = code.split("\n")
        match kind:
            case "escaped":
                code = html.escape(code)
            case "json":
                code = json.dumps(code)[1:-1]
            case "indented":
                code = textwrap.indent(code, " " * int(value))
            case "before":
                code = "\n".join(value + line for line in lines)
            case "numbered":
                code = "\n".join(f"{number:4d}{value}{line}" for number, line in enumerate(lines, start=1))
            case "tabs":
                code = code.replace("    ", "\t")
            case "spaced":
                code = code.replace("    ", SIGNS["NO_BREAK"] * 4)
            case "returns":
                code = code.replace("\n", "\r\n")
            case "without":
                code = code[: -int(value)]
            case "separated":
                code = code.replace("\n", "\u2028")
            case "one_line":
                code = code.replace("\n", "\\n")
            case "literal":
                code = repr(code)
            case "named":
                code = code.replace("class ModelNew(", f"class {value}(")
            case _:
                raise ValueError(f"no form {kind}")
    return code
