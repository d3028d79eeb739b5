"""From the text of an answer to the source of a module that defines ``ModelNew``.

Only an answer without ``ModelNew`` has no source. Code that does not parse is a source too: its outcome
is ``build_error``, with the line, and not ``no_source``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pytest_kernelbench.prompting.blocks import Block, blocks_in, plain_blocks, without_end_tokens
from pytest_kernelbench.prompting.bodies import parses_as_body, with_forward
from pytest_kernelbench.prompting.modules import (
    MODEL_NEW,
    bound_names,
    defines_model_new,
    is_complete,
    parsed,
    unbound_names,
    without_future_imports,
)
from pytest_kernelbench.records import Task

# Part of every sampling hash: another way of extraction gives other candidates.
VERSION = 2
MENTIONS_MODEL_NEW = re.compile(r"^[ \t]*class[ \t]+ModelNew\b", re.MULTILINE)
BEGINS_MODEL_NEW = re.compile(r"class[ \t]+ModelNew[ \t]*[(:]")
DEFINES_FUNCTION = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+ModelNew\b", re.MULTILINE)
# Words above code that is shown for comparison, and words that revoke them.
IS_COMPARED = re.compile(
    r"\b(?:for (?:comparison|reference)|na[iï]ve|original|baseline|unoptimi[sz]ed|slow|slower|wrong|incorrect|"
    r"do(?: not|n't) (?:use|do)|alternative(?:ly)?|fallback)\b",
    re.IGNORECASE,
)
IS_MEANT = re.compile(
    r"\b(?:optimi[sz]ed|improve[sd]?|faster|fixe[sd]|corrected|final|than|instead of|replac\w+|rather)\b", re.IGNORECASE
)
FILE_NAME = re.compile(r"\b([A-Za-z_]\w*)\.py\b")
STARTS_CODE = re.compile(r"(?:import|from|class|def|async|@|#|[A-Za-z_][\w.]*[ \t]*(?::[^=]+)?=[^=]|\"\"\"|''')")
STARTS_BODY = re.compile(
    r"[ \t]*(?:return\b|import |from \w+ import|def \w+\(|class \w+\s*[(:]|@\w|"
    r"[A-Za-z_][\w.\[\], ]*[ \t]*(?:[-+*/@]?=)[^=]|(?:for|if|with|while)\b.*:\s*$)"
)
RETURNS = re.compile(r"^[ \t]*return\b", re.MULTILINE)
OTHER_LANGUAGES = frozenset("bash sh shell console text txt cpp c++ c cuda cu json toml yaml diff output".split())
MARKED = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
# A text without fences is read from its first lines that look like code, each cut where it stops to be Python.
MOST_STARTS = 24
MOST_CUTS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """``source`` is the module in an answer, ``part`` its place in words ("block 2 of 3", "lines 4 to 30").

    ``missing``: why there is no source ("defines no ModelNew"); exactly one of ``source`` and ``missing`` is None.
    ``place``: range of its code in the answer, in characters; None if it is joined from several parts.
    """

    source: str | None
    part: str | None = None
    missing: str | None = None
    place: tuple[int, int] | None = None


def extract(text: str, *, answer: str, task: Task) -> Extraction:
    """The module in an answer; ``text`` is without reasoning.

    ``module``: the last block that parses and defines a complete ``ModelNew``; a stub, or a version that is introduced
    as naive, only where there is no better block. Names that another block of the answer defines, or imports from a
    file of it, bring that block with them. Else the last block with a ``class ModelNew`` (a truncated answer), else the
    lines of a text without fences.

    ``forward_body``: the first block of Python that is not blank, else the whole text, appended to the reference:
    statements become ``forward`` of a ``ModelNew(Model)`` with the reference's signature, a ``def forward``
    becomes its method, a class is taken as it is.

    Never raises for any ``text``. Raises TaskError where the reference has no ``Model.forward``.
    """
    plain = _plain(text)
    found = _module(plain) if answer == "module" else _body(plain, task)
    if found is not None and found.source is not None:
        # Where carriage returns were removed, places in the code differ from places in the text.
        return found if text.startswith(plain) else replace(found, place=None)
    return Extraction(source=None, missing=_why_none(plain, answer))


def extract_source(text: str, *, answer: str, task: Task) -> str | None:
    """The module that an answer means, or None where there is none."""
    return extract(text, answer=answer, task=task).source


def answered_code(text: str, *, answer: str) -> str | None:
    """The part of ``text`` that ``extract`` takes for the answer's code, or None where there is none."""
    place = code_place(text, answer=answer)
    return None if place is None else text[place[0] : place[1]]


def code_place(text: str, *, answer: str) -> tuple[int, int] | None:
    """Where, in characters, the answer's code stands; None where there is none, or it has several parts."""
    plain = _plain(text)
    if not text.startswith(plain):
        return None
    if answer == "module":
        found = _module(plain)
        return None if found is None else found.place
    block = _first_block(plain)
    return None if block is None else (block.start, block.end)


def fenced_blocks(text: str) -> Iterator[str]:
    """The code of each block, without the fence's own indentation or quoting; the last may lack its end."""
    return (block.code for block in blocks_in(text, defines_model_new))


def _plain(text: str) -> str:
    return without_end_tokens(text.replace("\r\n", "\n").replace("\r", "\n"))


def _why_none(text: str, answer: str) -> str:
    if not text.strip():
        return "is empty"
    if answer != "module":
        return "holds no code"
    return f"defines a function {MODEL_NEW}" if DEFINES_FUNCTION.search(text) else f"defines no {MODEL_NEW}"


# Whole modules


def _module(text: str) -> Extraction | None:
    blocks = blocks_in(text, defines_model_new)
    wanted = [number for number, block in enumerate(blocks) if defines_model_new(block.code)]
    if wanted:
        others = frozenset(name for block in blocks for name in bound_names(block.code))
        return _joined(blocks, max(wanted, key=partial(_rank, blocks, others)))
    for number in reversed(range(len(blocks))):
        if MENTIONS_MODEL_NEW.search(blocks[number].code):
            return _of(blocks, number)
    return _unfenced(text)


def _rank(blocks: Sequence[Block], others: frozenset[str], number: int) -> tuple[bool, bool, bool, int]:
    block = blocks[number]
    stands_alone = not unbound_names(block.code) & others
    return is_complete(block.code), not _is_for_comparison(block), stands_alone, number


def _is_for_comparison(block: Block) -> bool:
    first = block.code.lstrip().partition("\n")[0]
    said = f"{block.intro} {first if first.startswith('#') else ''}"
    return bool(IS_COMPARED.search(said)) and not IS_MEANT.search(said)


def _of(blocks: Sequence[Block], number: int) -> Extraction:
    block = blocks[number]
    part = f"block {number + 1} of {len(blocks)}"
    return Extraction(source=block.code, part=part, place=(block.start, block.end))


def _joined(blocks: Sequence[Block], number: int) -> Extraction:
    """Block ``number``, preceded by the other blocks of the answer whose names it needs."""
    main, files = _without_local_imports(blocks, number)
    needed = set(files)
    missing = set(unbound_names(main))
    for other in reversed([each for each in range(len(blocks)) if each != number]):
        block = blocks[other]
        if other not in needed and (other > number or parsed(block.code) is None):
            continue
        brings = missing & bound_names(block.code)
        if other in needed or brings:
            needed.add(other)
            missing = (missing - bound_names(block.code)) | unbound_names(block.code)
    if not needed:
        return _of(blocks, number)
    futures: list[str] = []
    parts = []
    for code in [*(_without_local_imports(blocks, each)[0] for each in sorted(needed)), main]:
        rest, imports = without_future_imports(code)
        futures += imports
        parts.append(rest.strip("\n"))
    names = [str(each + 1) for each in sorted({*needed, number})]
    return Extraction(
        source="\n\n\n".join([*dict.fromkeys(futures), *parts]),
        part=f"blocks {', '.join(names[:-1])} and {names[-1]} of {len(blocks)}",
    )


def _without_local_imports(blocks: Sequence[Block], number: int) -> tuple[str, frozenset[int]]:
    """A block without ``from kernels import scale`` where another block is ``kernels.py``, and that other block."""
    code = blocks[number].code
    files = {
        name: other
        for other, block in enumerate(blocks)
        if other != number and parsed(block.code) is not None
        for name in FILE_NAME.findall(f"{block.intro} {block.tag} {block.code.lstrip().partition(chr(10))[0]}")
    }
    lines, found = code.split("\n"), set()
    tree = parsed(code)
    for node in reversed(tree.body if tree is not None else []):
        import_ = re.fullmatch(r"[ \t]*from[ \t]+\.?(\w+)[ \t]+import\b[^;]*", lines[node.lineno - 1])
        if import_ and import_[1] in files:
            lines[node.lineno - 1 : node.end_lineno] = []
            found.add(files[import_[1]])
    return "\n".join(lines), frozenset(found)


# Texts without fences


def _unfenced(text: str) -> Extraction | None:
    """The longest run of lines that is a module; the whole text, where it is a module."""
    if MODEL_NEW not in text:
        return None
    lines = text.split("\n")
    if defines_model_new(text) and not "".join(lines[_end_of_python(lines, 0) :]).strip():
        return Extraction(source=text, part="the whole text", place=(0, len(text)))
    starts = [number for number, line in enumerate(lines) if STARTS_CODE.match(line)]
    named = next((number for number, line in enumerate(lines) if BEGINS_MODEL_NEW.match(line)), None)
    for start in [each for each in starts if named is not None and each <= named][:MOST_STARTS]:
        end = _end_of_python(lines, start)
        source = "\n".join(lines[start:end])
        if defines_model_new(source):
            place = sum(len(line) + 1 for line in lines[:start])
            return Extraction(source=source, part=f"lines {start + 1} to {end}", place=(place, place + len(source)))
    if named is None:
        return None
    # Cut off, or not Python: the compiler says where.
    return Extraction(source="\n".join(lines[starts[0] if starts else named :]), part="the text, which is no Python")


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


# Bodies of forward


def _body(text: str, task: Task) -> Extraction | None:
    block = _first_block(text)
    if block is None:
        return None
    blocks = plain_blocks(text, parses_as_body)
    place = (block.start, block.end)
    part = "the whole text" if block not in blocks else f"block {blocks.index(block) + 1} of {len(blocks)}"
    return Extraction(source=with_forward(block.code, task), part=part, place=place)


def _first_block(text: str) -> Block | None:
    blocks = [block for block in plain_blocks(text, parses_as_body) if block.code.strip()]
    python = [block for block in blocks if block.tag.partition(" ")[0].lower() not in OTHER_LANGUAGES]
    found = next(iter([*python, *blocks]), None)
    return _unfenced_body(text) if found is None and not MARKED.search(text) else found


def _unfenced_body(text: str) -> Block | None:
    """The whole text where it is Python; else its first lines that are; else all of it from the first that looks so."""
    if not text.strip():
        return None
    if parses_as_body(text):
        return Block(code=text, start=0, end=len(text))
    lines = text.split("\n")
    starts = [number for number, line in enumerate(lines) if STARTS_BODY.match(line)]
    for start in starts[:MOST_STARTS]:
        indent = lines[start][: len(lines[start]) - len(lines[start].lstrip())]
        end = start + _end_of_python([line.removeprefix(indent) for line in lines[start:]], 0)
        code = "\n".join(lines[start:end])
        if RETURNS.search(code) and parses_as_body(code):
            place = sum(len(line) + 1 for line in lines[:start])
            return Block(code=code, start=place, end=place + len(code))
    # Cut off, or not Python: the compiler says where.
    return Block(code=text, start=0, end=len(text)) if starts else None
