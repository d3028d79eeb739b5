"""Answers of servers to ``/chat/completions`` and ``/completions``, in the dialects met so far.

Log-probabilities come as ``content`` (OpenAI's chat, and llama.cpp for both) or as ``token_logprobs`` (OpenAI's
completions, vLLM, SGLang); token ids, where there are any, beside the text (vLLM) or in ``content`` (llama.cpp); the
characters of a token as text, and in ``content`` as bytes too, since a token may be a part of a character. The
reasoning comes in the text, beside it (``reasoning_content``, ``reasoning``), as a part of a content in parts, or not
at all; and the log-probabilities may cover it or not.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pytest_kernelbench.policies.openai_bodies import ServerError, body_of, quoted
from pytest_kernelbench.policies.openai_ends import end_of
from pytest_kernelbench.policies.openai_numbers import all_of, logarithm, logprob, whole_number
from pytest_kernelbench.policies.reading import NONE_GIVEN, Reading, Span, read_text, tokens_of
from pytest_kernelbench.prompting.extraction import code_place

# As in ``policies/rows.py``: below the logarithm of the least float32.
LEAST_COUNTED = -104.0
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
# How the text of the ValueError begins for an error about the address.
NO_PATH = "no such path: "
TEXT_PARTS = ("text", "output_text")
REASONING_PARTS = ("thinking", "reasoning")
NO_SUCH_PATH = re.compile(r"unexpected endpoint|(?:unknown|no such) (?:endpoint|path|route|url)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One choice of an answer. ``logprobs`` are the server's own, whatever temperature they are for.

    ``text`` is the model's text, and ``reasoning`` the text that came beside it; "" where the server says that there
    was reasoning and keeps it. ``logprobs`` are None where the server gave none, and where they cover neither all
    tokens nor the text: ``missing`` says which. ``whole``: whether they cover the reasoning too. ``pieces`` are the
    UTF-8 bytes of each token that has a log-probability; None where the server does not say. ``first_top`` are the
    likeliest first tokens, as the server spells them, with their log-probabilities. ``self_certainty`` is taken over
    the likeliest tokens in each place; None where there are fewer than two of them anywhere.
    """

    text: str
    model: str
    reasoning: str | None = None
    stop_reason: str | None = None
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    missing: str | None = None
    whole: bool = True
    pieces: tuple[bytes, ...] | None = None
    first_top: Mapping[str, float] = field(default_factory=dict)
    self_certainty: float | None = None
    prompt_tokens: int | None = None

    def read(self, *, answer: str, opened: bool = False) -> Reading:
        """Reasoning, answer, and which tokens spell it; see ``read_text``."""
        parts, read = read_text(self.text, self.stop_reason, opened=opened, reasoning=self.reasoning)
        reasoning = read.reasoning if read.reasoning is not None else self.reasoning
        answer_tokens, code_tokens = self._spans(parts.answer, parts.start, reasoning is not None, answer)
        return Reading(
            text=read.text,
            reasoning=reasoning,
            cut_off=read.cut_off,
            answer_tokens=answer_tokens,
            code_tokens=code_tokens,
        )

    def _spans(self, said: str, start: int | None, reasoned: bool, answer: str) -> tuple[Span | None, Span | None]:
        """Token ranges of the answer and of its code; None if the tokens do not spell it (halves of a character)."""
        if self.logprobs is None:
            return None, None
        n = len(self.logprobs)
        everything = None if reasoned and self.whole else (0, n)
        if self.pieces is None or start is None or not said:
            return everything, None
        pieces = self.pieces
        # Reasoning may come before the text, and an end token after it.
        before = _spelt(pieces).rfind(self.text)
        if before < 0:
            return everything, None

        def decode(some: Sequence[int]) -> str:
            return _spelt(pieces[: len(some)])

        first, _ = tokens_of((before + start, before + start), range(n), decode)
        place = code_place(said, answer=answer)
        shifted = None if place is None else (before + start + place[0], before + start + place[1])
        code = None if shifted is None else tokens_of(shifted, range(n), decode)
        return (first, n), code


class _Table(NamedTuple):
    """The tokens of a choice: ``logprobs``, ``ids`` and ``pieces`` have one entry a token."""

    logprobs: tuple[float, ...] | None = None
    ids: tuple[int, ...] | None = None
    pieces: tuple[bytes, ...] | None = None
    first_top: Mapping[str, float] = {}
    self_certainty: float | None = None


def read_answers(body: str) -> list[Answer]:
    """The choices, in the order of their own numbers.

    Raises ServerError for an error and for a body or an answer that ends early. Raises ValueError, whose text names the
    problem, for any other body that is no answer with a choice.
    """
    answer = body_of(body)
    choices = answer.get("choices") if isinstance(answer, dict) else None
    rows = [each for each in choices if isinstance(each, dict)] if isinstance(choices, list) else []
    for place in [answer, *rows] if isinstance(answer, dict) else []:
        if place.get("error"):
            raise _server_error(place["error"])
    if not rows:
        if isinstance(answer, dict) and "choices" in answer and not choices:
            raise ServerError("an answer without a choice")
        raise ValueError('no "choices"')
    rows.sort(key=lambda row: whole_number(row.get("index")) or 0)
    usage = answer.get("usage") if isinstance(answer.get("usage"), dict) else {}
    return [
        _answer(row, str(answer.get("model") or ""), usage if len(rows) == 1 else _without_counts(usage))
        for row in rows
    ]


def read_answer(body: str) -> Answer:
    """The first choice of ``read_answers``."""
    return read_answers(body)[0]


def _answer(choice: Mapping[str, Any], model: str, usage: Mapping[str, Any]) -> Answer:
    message = choice.get("message")
    text, reasoning, stop_reason = _said(message if isinstance(message, dict) else choice, choice.get("finish_reason"))
    table = _table(choice.get("logprobs"))
    ids = all_of(choice.get("token_ids"), whole_number) or table.ids
    n_tokens, thought = whole_number(usage.get("completion_tokens")) or None, _reasoning_tokens(usage)
    if reasoning is None and thought:
        reasoning = ""
    # An empty table is none.
    logprobs, whole, missing = table.logprobs or None, True, NONE_GIVEN
    if logprobs is not None and n_tokens is not None and not _covers(len(logprobs), n_tokens, stop_reason):
        whole = False
        # llama.cpp's fewer entries spell a character that is spread over tokens too, which ASCII's are not.
        certain = reasoning is not None or text.isascii()
        spelled = certain and bool(text.strip()) and text in _spelt(table.pieces or ())
        if not (spelled or (thought and _covers(len(logprobs), n_tokens - thought, stop_reason))):
            missing = f"they cover {len(logprobs)} of {n_tokens} tokens"
            logprobs = None
        elif reasoning is None:
            reasoning = ""  # or the text before the answer
    return Answer(
        text=text,
        model=model,
        reasoning=reasoning,
        stop_reason=stop_reason,
        token_ids=ids if ids is None or logprobs is None or len(ids) == len(logprobs) else None,
        logprobs=logprobs,
        missing=missing if logprobs is None else None,
        whole=whole,
        pieces=None if logprobs is None else table.pieces,
        first_top=table.first_top,
        self_certainty=table.self_certainty if logprobs is not None else None,
        prompt_tokens=whole_number(usage.get("prompt_tokens")),
    )


def _said(message: Mapping[str, Any], finish_reason: object) -> tuple[str, str | None, str | None]:
    """Text, reasoning and why it stopped. Raises ValueError for a content that holds no text that can be read."""
    stop_reason = end_of(finish_reason)
    content = message.get("content", message.get("text"))
    reasoning = next((each for key in REASONING_KEYS if isinstance(each := message.get(key), str) and each), None)
    if reasoning is None and message.get("reasoning_details"):
        reasoning = _flat(message["reasoning_details"])  # "" where they are encrypted
    if isinstance(content, dict):
        content = [content]
    if isinstance(content, list):
        content, thought = _of_parts(content)
        reasoning = reasoning or thought
    if isinstance(content, str) and content:
        return content, reasoning, stop_reason
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        return refusal, reasoning, "refusal"
    if message.get("tool_calls") or message.get("function_call"):
        return "", reasoning, "tool_calls"
    if content is None or isinstance(content, str):
        return "", reasoning, stop_reason
    raise ValueError(f"a content that is {type(content).__name__} and no text")


def _of_parts(parts: Sequence[object]) -> tuple[str, str | None]:
    texts: list[str] = []
    thoughts: list[str] = []
    kinds: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        row = part if isinstance(part, dict) else {}
        kind = str(row.get("type", "text" if "text" in row else "?"))
        kinds.append(kind)
        if kind in TEXT_PARTS and isinstance(row.get("text"), str):
            texts.append(row["text"])
        elif kind in REASONING_PARTS:
            thoughts.append(_flat(row.get(kind, row.get("text"))))
    if parts and not texts and not thoughts:
        raise ValueError(f"a content in parts that hold no text ({', '.join(dict.fromkeys(kinds))})")
    return "".join(texts), "\n\n".join(each for each in thoughts if each) or None


def _flat(value: object) -> str:
    if isinstance(value, list):
        return "".join(_flat(each.get("text") if isinstance(each, dict) else each) for each in value)
    return value if isinstance(value, str) else ""


def _server_error(error: object) -> ServerError:
    code = error.get("code") if isinstance(error, dict) else None
    # Servers write it as a number or as a text; a word such as "invalid_api_key" is none.
    status = whole_number(int(code) if isinstance(code, str) and code.isdecimal() and len(code) == 3 else code) or 0
    said = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    if NO_SUCH_PATH.search(str(said)):
        raise ValueError(f"{NO_PATH}200: {quoted(str(said))}")
    return ServerError(quoted(str(said or error)), passing=not 400 <= status < 500 or status in (408, 409, 429))


def _without_counts(usage: Mapping[str, Any]) -> dict[str, Any]:
    # The counts are of all choices together.
    return {key: value for key, value in usage.items() if key == "prompt_tokens"}


def _reasoning_tokens(usage: Mapping[str, Any]) -> int:
    details = usage.get("completion_tokens_details")
    counted = details.get("reasoning_tokens") if isinstance(details, dict) else usage.get("reasoning_tokens")
    return whole_number(counted) or 0


def _covers(n_logprobs: int, n_tokens: int, stop_reason: object) -> bool:
    # llama.cpp drops the entries of a character that is spread over tokens, and hidden reasoning has none at all.
    # Servers differ in whether the end token has an entry and whether it is counted.
    slack = 0 if stop_reason == "length" else 1
    return abs(n_tokens - n_logprobs) <= slack


def _table(table: object) -> _Table:
    """The tokens and log-probabilities of a choice, in either dialect."""
    if isinstance(table, list):
        table = {"content": table}
    if not isinstance(table, dict):
        return _Table()
    content = table.get("content")
    if isinstance(content, list) and all(isinstance(entry, dict) for entry in content):
        tops = content[0].get("top_logprobs") if content else None
        listed = tops if isinstance(tops, list) else []
        first_top: dict[str, Any] = {_spelled(top): top.get("logprob") for top in listed if isinstance(top, dict)}
        logprobs = all_of([entry.get("logprob") for entry in content], logprob)
        ids = all_of([entry.get("id") for entry in content], whole_number)
        pieces = _pieces([entry.get("bytes") or entry.get("token") for entry in content])
        certainty = _self_certainty([_listed(entry.get("top_logprobs")) for entry in content])
    else:
        tops = table.get("top_logprobs")
        first_top = tops[0] if isinstance(tops, list) and tops and isinstance(tops[0], dict) else {}
        logprobs, ids, pieces = all_of(table.get("token_logprobs"), logprob), None, _pieces(table.get("tokens"))
        places = tops if isinstance(tops, list) else []
        certainty = _self_certainty([list(each.values()) if isinstance(each, dict) else [] for each in places])
    return _Table(
        logprobs=logprobs,
        ids=ids,
        pieces=pieces if logprobs is not None and pieces is not None and len(pieces) == len(logprobs) else None,
        first_top={token: read for token, value in first_top.items() if (read := logprob(value)) is not None},
        self_certainty=certainty,
    )


def _listed(tops: object) -> list[Any]:
    return [each.get("logprob") for each in tops if isinstance(each, dict)] if isinstance(tops, list) else []


def _self_certainty(tops: Sequence[Sequence[Any]]) -> float | None:
    """Mean over the places of KL(uniform || policy) in nats, both over the likeliest tokens there alone."""
    known = [[max(read, LEAST_COUNTED) for value in place if (read := logarithm(value)) is not None] for place in tops]
    if not known or any(len(place) < 2 for place in known):
        return None
    return sum(map(_divergence_from_uniform, known)) / len(known)


def _divergence_from_uniform(logprobs: Sequence[float]) -> float:
    most = max(logprobs)
    total = most + math.log(sum(math.exp(each - most) for each in logprobs))
    return total - sum(logprobs) / len(logprobs) - math.log(len(logprobs))


def _pieces(tokens: object) -> tuple[bytes, ...] | None:
    """Tokens given as text or as lists of bytes, as bytes; None where a token is neither."""
    pieces = [_piece(token) for token in tokens] if isinstance(tokens, list) else [None]
    return None if None in pieces else tuple(piece for piece in pieces if piece is not None)


def _piece(token: object) -> bytes | None:
    if isinstance(token, str):
        return token.encode("utf-8", "surrogatepass")
    read = all_of(token, whole_number)
    return None if read is None or any(each > 255 for each in read) else bytes(read)


def _spelt(pieces: Sequence[bytes]) -> str:
    return b"".join(pieces).decode("utf-8", "replace")


def _spelled(top: Mapping[str, Any]) -> str:
    # Half a character is spelled alike whichever it is; its bytes are not.
    return json.dumps([top.get("token"), top.get("bytes")], default=str)
