"""The blocks of code in the text of an answer, also where its fences are not as CommonMark has them.

In CommonMark a fence is alone on its line. In models' answers a fence may follow ``</think>`` or a sentence,
``<|im_end|>`` may follow the closing one, a docstring may contain fences, and a block may be quoted, indented or never
closed. So every run of marks may open a block, and the block ends at the first later run for which its code passes the
caller's test ``wanted``; a run alone on its line is tried first.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

MARKS = re.compile(r"`{3,}|~{3,}")
# Tokens with which a chat template ends an answer; a text may still hold them.
END_TOKENS = re.compile(
    r"(?:\s*(?:<[|\uff5c][^<>|\uff5c\n]{1,40}[|\uff5c]>|</?s>|<end_of_turn>|<eos>|<im_end>|\[/?INST\]))+\s*\Z"
)
# Where a model goes on with a turn that is not its own, since nothing stopped it.
NEXT_TURN = re.compile(
    r"(?:<\|im_end\|>|<\|eot_id\|>|<\|eom_id\|>|<\|endoftext\|>|<\|end_of_text\|>|<end_of_turn>|</s>)\s*"
    r"(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|user\|>|\[INST\]|<s>).*",
    re.DOTALL,
)
QUOTE = re.compile(r"[ \t]*(?:>[ \t]?)+")
BLANK_BEFORE = re.compile(r"[ \t]*(?:>[ \t]?)*")
# A line that was meant to follow the fence.
LANGUAGE = re.compile(r"[ \t]*(?:python3?|py)[ \t]*\n", re.IGNORECASE)
# In an answer of many fences each fence may close any other. Parsing 1,000 characters takes about 1 ms: no answer takes
# longer than a second, and blocks beyond that end at their own fences.
MOST_MARKS = 400
MOST_ENDS = 24
MOST_TRIED = 300_000

Wanted = Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """``code`` without quoting and indentation, and its place in the text: ``text[start:end]``, without the fences.

    ``tag`` is what follows the opening fence, ``intro`` the last line of prose before it.
    """

    code: str
    start: int
    end: int
    tag: str = ""
    intro: str = ""


@dataclass(frozen=True, slots=True)
class _Mark:
    """A run of backticks or tildes; ``before`` and ``after`` are the rest of its line."""

    start: int
    end: int
    kind: str
    before: str
    after: str

    @property
    def opens_line(self) -> bool:
        return BLANK_BEFORE.fullmatch(self.before) is not None

    @property
    def alone(self) -> bool:
        return self.opens_line and not END_TOKENS.sub("", self.after).strip()

    def closes(self, opening: _Mark) -> bool:
        return self.start >= opening.end and self.kind.startswith(opening.kind)


def without_end_tokens(text: str) -> str:
    """``text`` without the tokens that a template ends an answer with, and without the turns after it."""
    return END_TOKENS.sub("", NEXT_TURN.sub("", text))


def blocks_in(text: str, wanted: Wanted) -> list[Block]:
    """All blocks of ``text``, in order. Blocks whose code is ``wanted`` are found first, then the blocks between them.

    Lines of ``text`` end in newlines only. A block inside another block, such as an example in a docstring, is left
    out.
    """
    marks = list(islice(_marks(text), MOST_MARKS))
    found: list[Block] = []
    tried = 0
    for opening in marks:
        if found and opening.start < found[-1].end:
            continue
        for block in _readings(text, opening, marks):
            tried += len(block.code)
            if tried > MOST_TRIED:
                break
            if wanted(block.code):
                found.append(block)
                break
        if tried > MOST_TRIED:
            break
    return sorted([*found, *_others(text, marks, found)], key=lambda block: block.start)


def plain_blocks(text: str, wanted: Wanted) -> list[Block]:
    """The blocks of ``text``, in order: each ends where its code is ``wanted``, or else at its own closing fence."""
    marks = list(islice(_marks(text), MOST_MARKS))
    found: list[Block] = []
    tried = 0
    for opening in marks:
        if found and opening.start < found[-1].end + len(opening.kind):
            continue
        good = None
        for block in _readings(text, opening, marks) if tried <= MOST_TRIED else ():
            tried += len(block.code)
            if tried > MOST_TRIED:
                break
            if wanted(block.code):
                good = block
                break
        block = good or _standard(text, opening, marks, len(text))
        if block is not None:
            found.append(block)
    return found


def _marks(text: str) -> Iterator[_Mark]:
    for match in MARKS.finditer(text):
        line = text.rfind("\n", 0, match.start()) + 1
        end = text.find("\n", match.end())
        mark = _Mark(
            match.start(),
            match.end(),
            match[0],
            text[line : match.start()],
            text[match.end() : end if end >= 0 else None],
        )
        # Tildes in a line are an operator, or a figure of speech.
        if mark.kind[0] == "`" or mark.opens_line:
            yield mark


def _readings(text: str, opening: _Mark, marks: Sequence[_Mark]) -> Iterator[Block]:
    """The blocks that may begin at ``opening``, the likeliest first."""
    later = [mark for mark in marks if mark.closes(opening)]
    # On a line of its own, at the end of a line, nowhere, in a comment.
    ends = sorted([*later, None], key=lambda mark: 2 if mark is None else _doubt(mark))
    for closing in ends[:MOST_ENDS]:
        block = _between(text, opening, closing)
        yield block
        plain = textwrap.dedent(block.code)
        if plain != block.code:
            yield replace(block, code=plain)
        # The code begins in the fence's own line: ```python import torch
        _, _, first = opening.after.strip().partition(" ")
        if first:
            begun = opening.end + opening.after.find(first)
            yield replace(block, code=f"{first}\n{block.code}", start=begun)


def _doubt(mark: _Mark) -> int:
    return 0 if mark.alone else 3 if "#" in mark.before else 1


def _between(text: str, opening: _Mark, closing: _Mark | None) -> Block:
    start = min(opening.end + len(opening.after) + 1, len(text))
    if language := LANGUAGE.match(text, start):
        start = language.end()
    end = len(text) if closing is None else closing.start
    if closing is not None and closing.opens_line:
        end -= len(closing.before) + 1  # and the newline before it
    if closing is not None and closing.start < start:
        start, end = opening.end, closing.start  # both in one line
    end = max(start, end)
    lines = text[start:end].split("\n")
    if quote := QUOTE.fullmatch(opening.before):
        depth = quote[0].count(">")
        pattern = re.compile(rf"(?:[ \t]*>[ \t]?){{0,{depth}}}")
        lines = [line[pattern.match(line).end() :] for line in lines]  # type: ignore[union-attr]
    elif not opening.before.strip():
        lines = [line.removeprefix(opening.before) for line in lines]
    return Block(code="\n".join(lines), start=start, end=end, tag=opening.after.strip(), intro=_intro(text, opening))


def _intro(text: str, opening: _Mark) -> str:
    before = text[: opening.start].rstrip("> \t\n")
    return before[before.rfind("\n") + 1 :]


def _others(text: str, marks: Sequence[_Mark], found: Sequence[Block]) -> Iterator[Block]:
    """The blocks between the blocks found so far."""
    starts = [block.start for block in found] + [len(text)]
    read_to = 0
    for mark in marks:
        inside = any(block.start <= mark.start < block.end for block in found)
        fence = any(mark.end <= block.start <= mark.end + len(mark.after) + 1 for block in found)
        closing = any(block.end <= mark.start <= block.end + len(mark.before) + 1 for block in found)
        if mark.start < read_to or inside or fence or closing:
            continue
        limit = min(start for start in starts if start > mark.start)
        block = _standard(text, mark, [each for each in marks if each.start < limit], limit)
        if block is not None:
            yield block
            closed = next((each for each in marks if each.start >= block.end and each.closes(mark)), None)
            read_to = limit if closed is None else closed.end


def _standard(text: str, opening: _Mark, marks: Sequence[_Mark], limit: int) -> Block | None:
    """From ``opening`` to its own fence, or to ``limit``; None where no line follows."""
    later = [mark for mark in marks if mark.closes(opening)]
    closing = next((mark for mark in later if mark.alone), None)
    if closing is None and not opening.opens_line:
        closing = next(iter(later), None)
    block = _between(text, opening, closing)
    return block if closing is not None else _between(text[:limit], opening, None)
