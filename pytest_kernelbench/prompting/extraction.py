"""From the text of an answer to the source of a module that defines ``ModelNew``.

Only an answer without ``ModelNew`` has no source. Code that does not parse is a source too: its outcome
is ``build_error``, with the line, and not ``no_source``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pytest_kernelbench.prompting.blocks import Block, blocks_in, plain_blocks, without_end_tokens
from pytest_kernelbench.prompting.bodies import parses_as_body, with_forward
from pytest_kernelbench.prompting.introductions import is_for_comparison, is_preferred
from pytest_kernelbench.prompting.lines import RETURNS, body_lines, module_lines
from pytest_kernelbench.prompting.mending import (
    applied,
    indented_run,
    literals_in,
    mended,
    strings_in,
    unescaped,
    visible,
)
from pytest_kernelbench.prompting.modules import (
    MODEL_NEW,
    bound_names,
    defines_model_new,
    is_complete,
    only_imports,
    parsed,
    unbound_names,
    unguarded,
    without_future_imports,
    without_import_of,
)
from pytest_kernelbench.records import Task

# Part of every sampling hash: another way of extraction gives other candidates.
VERSION = 3
MENTIONS_MODEL_NEW = re.compile(r"^[ \t]*class[ \t]+ModelNew\b", re.MULTILINE)
INDENTED_MODEL_NEW = re.compile(r"^([ \t]+)class[ \t]+ModelNew[ \t]*[(:]", re.MULTILINE)
DEFINES_FUNCTION = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+ModelNew\b", re.MULTILINE)
FILE_NAME = re.compile(r"\b([A-Za-z_]\w*)\.py\b")
OTHER_LANGUAGES = frozenset("bash sh shell console text txt cpp c++ c cuda cu json toml yaml diff output".split())
# Strings of an answer that are searched for a module, from the last.
MOST_STRINGS = 8
MARKED = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


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
    found = _module(plain, task) if answer == "module" else _body(plain, task)
    if found is not None and found.source is not None:
        # Where carriage returns were removed, places in the code differ from places in the text.
        return found if text.startswith(plain) else replace(found, place=None)
    return Extraction(source=None, missing=_why_none(plain, answer))


def extract_source(text: str, *, answer: str, task: Task) -> str | None:
    """The module that an answer means, or None where there is none."""
    return extract(text, answer=answer, task=task).source


def code_place(text: str, *, answer: str) -> tuple[int, int] | None:
    """Where, in characters, the answer's code stands; None where there is none, or it has several parts."""
    plain = _plain(text)
    if not text.startswith(plain):
        return None
    if answer == "module":
        found = _direct(plain)
        return None if found is None else found.place
    block = _first_block(plain)
    return None if block is None else (block.start, block.end)


def fenced_blocks(text: str) -> Iterator[str]:
    """The code of each block, without the fence's own indentation or quoting; the last may lack its end."""
    return (block.code for block in blocks_in(text, defines_model_new))


def _plain(text: str) -> str:
    return without_end_tokens(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))


def _why_none(text: str, answer: str) -> str:
    if not text.strip():
        return "is empty"
    if answer != "module":
        return "holds no code"
    return f"defines a function {MODEL_NEW}" if DEFINES_FUNCTION.search(text) else f"defines no {MODEL_NEW}"


# Whole modules


def _module(text: str, task: Task) -> Extraction | None:
    # A text that begins as JSON may hold a string whose lines look like a module with one line too few.
    found = None if text.lstrip().startswith(("{", "[")) else _direct(text)
    if MODEL_NEW in text and not (found and defines_model_new(found.source or "")):
        found = _in_another_form(text, task) or found or _direct(text)
    return None if found is None else _completed(found, task)


def _completed(found: Extraction, task: Task) -> Extraction:
    """With the class at the top of the module, and with the reference where the class inherits from it."""
    source = without_import_of(unguarded(found.source or ""), bound_names(task.source))
    if "Model" in unbound_names(source) and "Model" in bound_names(task.source):
        rest, futures = without_future_imports(source)
        source = "\n".join([*futures, f"{task.source.rstrip()}\n\n\n{rest}"])
        return Extraction(source=source, part=f"{found.part}, after the reference")
    return found if source == found.source else Extraction(source=source, part=found.part)


def _in_another_form(text: str, task: Task) -> Extraction | None:
    """The module where it is not written as plain Python; None where it is not found so either."""
    for other in dict.fromkeys([unescaped(text), visible(text), visible(unescaped(text))]):
        found = _direct(other) if other != text else None
        if found and defines_model_new(found.source or ""):
            return Extraction(source=found.source, part=f"{found.part}, unescaped")
    if found := _in_strings(strings_in(text)):
        return found
    blocks = blocks_in(text, defines_model_new)
    for number in reversed(range(len(blocks))):
        if change := _mended(blocks[number].code):
            return replace(_of(blocks, number), source=change[0], part=f"{_of(blocks, number).part}, {change[1]}")
    if found := _in_strings(each for code in [block.code for block in blocks] or [text] for each in literals_in(code)):
        return found
    if not blocks and (change := _mended(text)):
        return Extraction(source=change[0], part=f"the text, {change[1]}")
    changed = applied(text, task.source)
    return Extraction(source=changed, part="a change of the reference") if defines_model_new(changed or "") else None


def _mended(code: str) -> tuple[str, str] | None:
    """The module in a block of other things, or in a run of indented lines; else the block in another form."""
    if MODEL_NEW not in code:
        return None
    run = module_lines(code)
    if run is not None and defines_model_new(run.code):
        return run.code, run.part
    return mended(indented_run(code, INDENTED_MODEL_NEW) or code, defines_model_new) or mended(code, defines_model_new)


def _in_strings(strings: Iterable[str]) -> Extraction | None:
    """The module in the last of ``strings`` that has one."""
    for string in reversed([each for each in strings if MODEL_NEW in each][-MOST_STRINGS:]):
        found = _direct(_plain(string))
        if found and defines_model_new(found.source or ""):
            return Extraction(source=found.source, part="a string in the answer")
    return None


def _direct(text: str) -> Extraction | None:
    blocks = blocks_in(text, defines_model_new)
    wanted = [number for number, block in enumerate(blocks) if defines_model_new(block.code)]
    if wanted:
        others = frozenset(name for block in blocks for name in bound_names(block.code))
        return _joined(blocks, max(wanted, key=partial(_rank, blocks, others)))
    for number in reversed(range(len(blocks))):
        if MENTIONS_MODEL_NEW.search(blocks[number].code):
            return _of(blocks, number)
    run = module_lines(text)
    return None if run is None else Extraction(source=run.code, part=run.part, place=(run.start, run.end))


def _rank(blocks: Sequence[Block], others: frozenset[str], number: int) -> tuple[bool, bool, bool, bool, int]:
    block = blocks[number]
    stands_alone = not unbound_names(block.code) & others
    return is_complete(block.code), not is_for_comparison(block), is_preferred(block), stands_alone, number


def _of(blocks: Sequence[Block], number: int) -> Extraction:
    block = blocks[number]
    part = f"block {number + 1} of {len(blocks)}"
    return Extraction(source=block.code, part=part, place=(block.start, block.end))


def _joined(blocks: Sequence[Block], number: int) -> Extraction:
    """Block ``number``, preceded by the other blocks of the answer whose names it needs."""
    main, files = _without_local_imports(blocks, number)
    needed = set(files)
    missing = set(unbound_names(main))
    # Blocks before it, the nearest first; then blocks after it.
    for other in [*reversed(range(number)), *range(number + 1, len(blocks))]:
        block = blocks[other]
        another = other > number and defines_model_new(block.code)
        if other not in needed and (another or parsed(block.code) is None):
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
        import_ = re.fullmatch(r"[ \t]*from[ \t]+\.?(?:\w+\.)*(\w+)[ \t]+import\b[^;]*", lines[node.lineno - 1])
        if import_ and import_[1] in files:
            lines[node.lineno - 1 : node.end_lineno] = []
            found.add(files[import_[1]])
    return "\n".join(lines), frozenset(found)


# Bodies of forward


def _body(text: str, task: Task) -> Extraction | None:
    block = _first_block(text)
    if block is None:
        return None
    blocks = plain_blocks(text, parses_as_body)
    place = (block.start, block.end)
    number = next((number for number, each in enumerate(blocks) if each.start == block.start), None)
    part = "the whole text" if number is None else f"block {number + 1} of {len(blocks)}"
    code = block.code
    if code.lstrip().startswith("{") and (strings := [each for each in strings_in(code) if _is_body(each)]):
        return Extraction(source=with_forward(max(strings, key=len), task), part=f"a string in {part}")
    if not parses_as_body(code) and (change := mended(code, parses_as_body)):
        code, part = change[0], f"{part}, {change[1]}"
    return Extraction(source=with_forward(code, task), part=part, place=place)


def _is_body(text: str) -> bool:
    return RETURNS.search(text) is not None and parses_as_body(text)


def _first_block(text: str) -> Block | None:
    """The first block of Python that returns, preceded by imports in blocks before it; else the first block."""
    blocks = [block for block in plain_blocks(text, parses_as_body) if block.code.strip()]
    python = [block for block in blocks if block.tag.partition(" ")[0].lower() not in OTHER_LANGUAGES]
    main = next((number for number, block in enumerate(python) if RETURNS.search(block.code)), 0)
    imports = [block.code for block in python[:main] if only_imports(block.code)]
    if imports:
        return replace(python[main], code="\n".join([*imports, python[main].code]))
    found = next(iter([*python[main:], *blocks]), None)
    if found is not None or MARKED.search(text) or (run := body_lines(text)) is None:
        return found
    return Block(code=run.code, start=run.start, end=run.end)
