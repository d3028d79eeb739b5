"""The JSON of a server's answer: alone, after comments that kept the connection alive, or in the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_kernelbench.policies.openai_numbers import whole_number

# A server's words in an error for people.
MOST_WORDS = 160
DONE = "[DONE]"
# Lists of a choice's log-probabilities, one entry a token: OpenAI's newer shape, and its older one.
TABLES = ("content", "tokens", "token_logprobs", "top_logprobs")


class ServerError(Exception):
    """An answer that is an error in spite of its status. ``passing``: whether asking again may help."""

    def __init__(self, said: str, *, passing: bool = True) -> None:
        super().__init__(said)
        self.passing = passing


def body_of(text: str) -> object:
    """The value in a body. Some proxies send a stream of events that nobody asked for: its parts are joined.

    Raises ServerError for a body that ends early, and ValueError for any other that is no JSON.
    """
    text = text.lstrip("\ufeff \t\r\n")
    while text.startswith(":"):
        text = text.partition("\n")[2].lstrip()
    if text.startswith(("data:", "event:", "id:")):
        return _joined(text)
    try:
        return _value(text)
    except (ValueError, RecursionError):
        if text.startswith("{"):
            raise ServerError(f"a body that is cut off: {quoted(text)}") from None
        raise ValueError("no JSON") from None


def quoted(text: str) -> str:
    """A server's words in quotation marks, on one line."""
    line = " ".join(text.split())
    return f'"{line[:MOST_WORDS]}{"..." if len(line) > MOST_WORDS else ""}"'


def _value(text: str) -> object:
    """The value of a JSON text; an integer that Python refuses to read is infinite, as 1e999 is: not measured.

    Raises ValueError.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # of an integer of over sys.get_int_max_str_digits() digits
        return json.loads(text, parse_int=_integer)


def _integer(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _joined(text: str) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    ended = False
    for event in _events(text):
        if event == DONE:
            ended = True
            continue
        try:
            value = _value(event)
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict):
            continue
        listed = value.get("choices")
        parts = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        if value.get("error") or any("message" in each for each in parts):
            return value
        answer |= {key: each for key, each in value.items() if key in ("model", "usage") and each}
        for part in parts:
            _add(choices.setdefault(whole_number(part.get("index")) or 0, {"message": {}}), part)
    if not (ended or any(each.get("finish_reason") for each in choices.values())):
        raise ServerError("a stream that ends early")
    return {**answer, "choices": [{"index": index, **choices[index]} for index in sorted(choices)]}


def _events(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith("data:"):
            yield line.removeprefix("data:").strip()


def _add(choice: dict[str, Any], part: Mapping[str, Any]) -> None:
    """Add what an event says to a choice."""
    delta = part.get("delta")
    message = choice["message"]
    for key, value in (delta if isinstance(delta, dict) else {"content": part.get("text")}).items():
        before = message.get(key, "")
        if isinstance(value, str) and isinstance(before, str) and key != "role":
            message[key] = before + value
        elif value:
            message[key] = value
    if part.get("finish_reason"):
        choice["finish_reason"] = part["finish_reason"]
    table = part.get("logprobs")
    if isinstance(table, dict):
        whole = choice.setdefault("logprobs", {})
        for key in TABLES:
            if isinstance(table.get(key), list):
                whole.setdefault(key, []).extend(table[key])
