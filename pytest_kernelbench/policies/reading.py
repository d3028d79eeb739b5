"""The parts of a model's output: reasoning, answer and code, and their tokens. For every policy.

Rankings use the tokens of the answer or of its code, since the log-probability of other tokens says nothing about a
kernel.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_kernelbench.prompting.extraction import code_place
from pytest_kernelbench.prompting.reasoning import Parts, parts_of

Decode = Callable[[Sequence[int]], str]
Span = tuple[int, int]
# ``Completion.logprobs_missing`` of an answer without any log-probability.
NONE_GIVEN = "none were given"
# The stop reasons of different servers for an answer whose tokens ran out.
RAN_OUT = frozenset(("length", "max_tokens", "model_length"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The fields of a ``Completion`` that come from its text; ``answer_tokens`` and ``code_tokens`` count from 0."""

    text: str
    reasoning: str | None
    cut_off: bool | None
    answer_tokens: Span | None = None
    code_tokens: Span | None = None


def read_text(
    said: str, stop_reason: str | None, *, opened: bool = False, reasoning: str | None = None
) -> tuple[Parts, Reading]:
    """The parts of a model's text. ``reasoning`` came beside it from a server; ``opened`` is as in ``parts_of``."""
    parts = parts_of(said, opened=opened)
    thought = "\n\n".join(part for part in (reasoning, parts.reasoning) if part)
    closed = parts.closed and not (reasoning and not parts.answer.strip())
    ran_out = stop_reason in RAN_OUT if stop_reason else None
    read = Reading(text=parts.answer, reasoning=thought or None, cut_off=ran_out if closed else ran_out is not False)
    return parts, read


def read_tokens(
    token_ids: Sequence[int], stop_reason: str, *, decode: Decode, spell: Decode, opened: bool, answer: str
) -> Reading:
    """The parts of a model's tokens; if it stopped, the last token is its end token, which belongs to the answer.

    ``spell`` is ``decode`` with special tokens, in which some models mark their reasoning.
    """
    spelled = token_ids[:-1] if stop_reason == "stop" else token_ids
    said = spell(spelled)
    parts, read = read_text(said, stop_reason, opened=opened)
    if parts.answer == said:
        text = decode(spelled)
        place = code_place(text, answer=answer)
        return Reading(
            text=text,
            reasoning=None,
            cut_off=read.cut_off,
            answer_tokens=(0, len(token_ids)),
            code_tokens=None if place is None else tokens_of(place, spelled, decode),
        )
    if parts.start is None or not parts.closed:
        return read
    first, _ = tokens_of((parts.start, parts.start), spelled, spell)
    place = code_place(parts.answer, answer=answer)
    shifted = None if place is None else (parts.start + place[0], parts.start + place[1])
    return Reading(
        text=read.text,
        reasoning=read.reasoning,
        cut_off=read.cut_off,
        answer_tokens=(first, len(token_ids)),
        code_tokens=None if shifted is None else tokens_of(shifted, spelled, spell),
    )


def tokens_of(place: Span, token_ids: Sequence[int], decode: Decode) -> Span:
    """Index of the first token with a character at ``place``, and the index after the last such token.

    ``decode(token_ids[:i])`` must not shrink as ``i`` grows; it is called about 2 log2(n) times.
    """

    def characters(n: int) -> int:
        return len(decode(token_ids[:n]))

    lengths = range(len(token_ids) + 1)
    first = bisect_right(lengths, place[0], key=characters) - 1
    return max(0, first), bisect_left(lengths, place[1], key=characters)
