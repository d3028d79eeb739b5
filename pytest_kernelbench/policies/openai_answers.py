"""What servers answer to ``/chat/completions`` and ``/completions``, in the dialects met so far.

Log-probabilities come as ``content`` (OpenAI's chat, and llama.cpp for both) or as ``token_logprobs`` (OpenAI's
completions, vLLM, SGLang); token ids, where there are any, beside the text (vLLM) or in ``content`` (llama.cpp); what a
token spells as text, and in ``content`` as bytes too, which alone tell halves of a character apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pytest_kernelbench.policies.code_span import code_tokens

# OpenAI and vLLM write -9999 for a log-probability that JSON cannot hold.
LEAST_LOGPROB = -9998.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The first choice of an answer. ``logprobs`` are the server's own, whatever temperature they are for.

    They are None where the server gave none, and where it gave them for a part of the tokens only.
    ``pieces`` are what each token that has one spells, in UTF-8; None where the server does not say.
    ``first_top`` are the likeliest first tokens, as the server spells them, with their log-probabilities.
    """

    text: str
    model: str
    stop_reason: str | None = None
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    pieces: tuple[bytes, ...] | None = None
    first_top: Mapping[str, float] = field(default_factory=dict)

    def code_tokens(self, *, answer: str) -> tuple[int, int] | None:
        """As of ``Completion``; None where the tokens do not spell ``text``, such as halves of a character."""
        if self.pieces is None:
            return None
        pieces = self.pieces
        # Hidden reasoning may come before the text, and an end token after it.
        before = _spelt(pieces).rfind(self.text)
        if before < 0:
            return None
        return code_tokens(
            self.text, range(len(pieces)), lambda some: _spelt(pieces[: len(some)])[before:], answer=answer
        )


class _Table(NamedTuple):
    """What a choice says of its tokens, one entry for each in ``logprobs``, ``ids`` and ``pieces``."""

    logprobs: tuple[float, ...] | None = None
    ids: tuple[int, ...] | None = None
    pieces: tuple[bytes, ...] | None = None
    first_top: Mapping[str, float] = {}


def read_answer(body: str) -> Answer:
    """Raises ValueError, with what is wrong, for anything but an answer with one choice or more."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
        raise ValueError('no "choices"')
    choice = choices[0]
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    table = _table(choice.get("logprobs"))
    logprobs, ids = table.logprobs, _all_of(choice.get("token_ids"), int) or table.ids
    stop_reason = choice.get("finish_reason")
    usage = answer.get("usage")
    n_tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if logprobs is not None and isinstance(n_tokens, int) and not _covers(len(logprobs), n_tokens, stop_reason):
        logprobs = None
    return Answer(
        text=text if isinstance(text, str) else "",
        model=str(answer.get("model") or ""),
        stop_reason=stop_reason if isinstance(stop_reason, str) else None,
        token_ids=ids if ids is None or logprobs is None or len(ids) == len(logprobs) else None,
        logprobs=logprobs,
        pieces=None if logprobs is None else table.pieces,
        first_top=table.first_top,
    )


def _covers(n_logprobs: int, n_tokens: int, stop_reason: object) -> bool:
    # llama.cpp drops the entries of a character that is spread over tokens, and hidden reasoning has none at all.
    # Servers differ in whether the end token has an entry and whether it is counted.
    slack = 1 if stop_reason == "stop" else 0
    return abs(n_tokens - n_logprobs) <= slack


def _table(table: object) -> _Table:
    """Of either dialect."""
    if not isinstance(table, dict):
        return _Table()
    content = table.get("content")
    if isinstance(content, list) and all(isinstance(entry, dict) for entry in content):
        tops = content[0].get("top_logprobs") if content else None
        listed = tops if isinstance(tops, list) else []
        first_top: dict[str, Any] = {_spelled(top): top.get("logprob") for top in listed if isinstance(top, dict)}
        logprobs = _all_of([entry.get("logprob") for entry in content], float)
        ids = _all_of([entry.get("id") for entry in content], int)
        pieces = _pieces([entry.get("bytes") or entry.get("token") for entry in content])
    else:
        tops = table.get("top_logprobs")
        first_top = tops[0] if isinstance(tops, list) and tops and isinstance(tops[0], dict) else {}
        logprobs, ids, pieces = _all_of(table.get("token_logprobs"), float), None, _pieces(table.get("tokens"))
    return _Table(
        logprobs=logprobs,
        ids=ids,
        pieces=pieces if logprobs is not None and pieces is not None and len(pieces) == len(logprobs) else None,
        first_top={token: value for token, value in first_top.items() if _is_logprob(value)},
    )


def _pieces(tokens: object) -> tuple[bytes, ...] | None:
    """Tokens given as text or as lists of bytes; None where one is neither."""
    pieces = [_piece(token) for token in tokens] if isinstance(tokens, list) else [None]
    return None if None in pieces else tuple(piece for piece in pieces if piece is not None)


def _piece(token: object) -> bytes | None:
    if isinstance(token, str):
        return token.encode("utf-8", "surrogatepass")
    try:
        return bytes(token) if isinstance(token, list) else None
    except (TypeError, ValueError):
        return None


def _spelt(pieces: Sequence[bytes]) -> str:
    return b"".join(pieces).decode("utf-8", "replace")


def _spelled(top: Mapping[str, Any]) -> str:
    # Half a character is spelled alike whichever it is; its bytes are not.
    return json.dumps([top.get("token"), top.get("bytes")], default=str)


def _all_of(values: object, kind: type) -> tuple[Any, ...] | None:
    """``values`` as a tuple of ``kind`` (float: log-probabilities), or None where one is something else."""
    if not isinstance(values, list):
        return None
    if kind is float:
        # Rounding may lift the log-probability of a certain token above 0.
        return tuple(min(float(value), 0.0) for value in values) if all(map(_is_logprob, values)) else None
    return tuple(values) if all(isinstance(value, int) and not isinstance(value, bool) for value in values) else None


def _is_logprob(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and LEAST_LOGPROB < value < 1e-3
