"""A server's answer is read into text, reasoning, tokens and log-probabilities, or refused with a message."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.policies.openai_answers import ServerError, read_answer, read_answers

# What each server answered, or documents, for two tokens; cut down to what is read.
OPENAI_CHAT = {
    "model": "m-2026-05-01",
    "choices": [
        {
            "finish_reason": "length",
            "message": {"role": "assistant", "content": "ab"},
            "logprobs": {
                "content": [
                    {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "a", "logprob": -0.5}]},
                    {"token": "b", "logprob": -1.5, "top_logprobs": []},
                ]
            },
        }
    ],
    "usage": {"completion_tokens": 2},
}
VLLM_COMPLETION = {
    "model": "m",
    "choices": [
        {
            "finish_reason": "length",
            "text": "ab",
            "logprobs": {
                "tokens": ["a", "b"],
                "token_logprobs": [-0.5, -1.5],
                "top_logprobs": [{"a": -0.5, "c": -2.0}, {"b": -1.5}],
            },
            "token_ids": [64, 65],
        }
    ],
    "usage": {"completion_tokens": 2},
}
LLAMA_CPP_COMPLETION = {
    "model": "m",
    "choices": [
        {
            "finish_reason": "length",
            "text": "ab",
            "logprobs": {
                "content": [
                    {"id": 64, "token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []},
                    {"id": 65, "token": "b", "bytes": [98], "logprob": -1.5, "top_logprobs": []},
                ]
            },
        }
    ],
    "usage": {"completion_tokens": 2},
}


def changed(answer: dict[str, Any], *, usage: Any = None, **choice: Any) -> str:
    new = {**answer, "choices": [{**answer["choices"][0], **choice}]}
    return json.dumps(new if usage is None else {**new, "usage": usage})


@pytest.mark.parametrize(
    ("answer", "token_ids", "first_top"),
    [
        (OPENAI_CHAT, None, {'["a", null]': -0.5}),
        (VLLM_COMPLETION, (64, 65), {"a": -0.5, "c": -2.0}),
        (LLAMA_CPP_COMPLETION, (64, 65), {}),
    ],
    ids=["openai", "vllm", "llama.cpp"],
)
def test_each_dialect_is_read(answer: dict[str, Any], token_ids: Any, first_top: dict[str, float]) -> None:
    read = read_answer(json.dumps(answer))
    assert (read.text, read.logprobs, read.stop_reason) == ("ab", (-0.5, -1.5), "length")
    assert (read.token_ids, read.first_top, read.model) == (token_ids, first_top, answer["model"])


def test_answer_without_text_is_an_empty_one() -> None:
    read = read_answer(changed(OPENAI_CHAT, message={"content": None}, logprobs=None))
    assert (read.text, read.logprobs) == ("", None)


@pytest.mark.parametrize(
    ("counted", "stop_reason", "kept"),
    [(2, "length", True), (3, "stop", True), (1, "stop", True), (3, "length", False), (40, "stop", False)],
)
def test_logprobs_of_a_part_of_the_tokens_are_none(counted: int, stop_reason: str, kept: bool) -> None:
    usage, message = {"completion_tokens": counted}, {"content": "abc"}
    read = read_answer(changed(OPENAI_CHAT, usage=usage, finish_reason=stop_reason, message=message))
    assert (read.logprobs is not None) is kept
    assert read.missing == (None if kept else f"they cover 2 of {counted} tokens")


@pytest.mark.parametrize(
    ("usage", "message"),
    [
        ({"completion_tokens": 40}, {"content": "ab"}),
        ({"completion_tokens": 40}, {"content": "ab", "reasoning_content": "Hm."}),
        ({"completion_tokens": 40, "completion_tokens_details": {"reasoning_tokens": 38}}, {"content": "ab"}),
    ],
)
def test_logprobs_of_the_answer_alone_are_the_answers(usage: Any, message: Any) -> None:
    read = read_answer(changed(OPENAI_CHAT, usage=usage, message=message))
    assert (read.logprobs, read.whole) == ((-0.5, -1.5), False)
    reading = read.read(answer="module")
    assert (reading.answer_tokens, reading.reasoning) == ((0, 2), message.get("reasoning_content", ""))


@pytest.mark.parametrize(
    ("message", "text", "reasoning", "stop_reason"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab", None, "stop"),
        ({"content": [{"type": "thinking", "thinking": [{"text": "r"}]}, {"text": "a"}]}, "a", "r", "stop"),
        ({"content": "a", "reasoning": "r"}, "a", "r", "stop"),
        ({"content": None, "refusal": "No."}, "No.", None, "refusal"),
        ({"content": None, "tool_calls": [{"id": "1"}]}, "", None, "tool_calls"),
        ({"content": ""}, "", None, "stop"),
        ({"content": []}, "", None, "stop"),
    ],
)
def test_every_kind_of_message_is_read(message: Any, text: str, reasoning: str | None, stop_reason: str) -> None:
    read = read_answer(changed(OPENAI_CHAT, message=message, logprobs=None, finish_reason="stop"))
    assert (read.text, read.reasoning, read.stop_reason) == (text, reasoning, stop_reason)


def test_choices_are_in_the_order_of_their_numbers() -> None:
    choices = [{"index": 1, "message": {"content": "b"}}, {"index": 0, "message": {"content": "a"}}]
    usage = {"completion_tokens": 9, "prompt_tokens": 4}
    answers = read_answers(json.dumps({"choices": choices, "usage": usage}))
    assert [(each.text, each.prompt_tokens) for each in answers] == [("a", 4), ("b", 4)]


@pytest.mark.parametrize("code", [400, 404, "invalid_request", None, 429, 502])
def test_an_error_inside_an_answer_may_pass_or_not(code: Any) -> None:
    with pytest.raises(ServerError) as error:
        read_answer(json.dumps({"error": {"message": "out of\norder", "code": code}}))
    assert str(error.value) == '"out of order"' and error.value.passing is (code not in (400, 404))


@pytest.mark.parametrize("value", [None, "x", True, float("nan"), float("-inf"), 1.0, -9999.0])
def test_value_that_is_no_logprob_leaves_none_at_all(value: Any) -> None:
    logprobs = {"token_logprobs": [-0.5, value], "top_logprobs": None}
    assert read_answer(changed(VLLM_COMPLETION, logprobs=logprobs)).logprobs is None


def test_rounding_above_zero_is_zero() -> None:
    logprobs = {"token_logprobs": [-0.5, 1e-7], "top_logprobs": None}
    assert read_answer(changed(VLLM_COMPLETION, logprobs=logprobs)).logprobs == (-0.5, 0.0)


TALK, CODE = ["Here", " it is:\n", "```python\n"], ["class ", "ModelNew:\n", "    é = 1"]
SPLIT = ["class ", "ModelNew:\n", "    ", b"\xc3", b"\xa9", " = 1"]


def spelling(pieces: list[str | bytes]) -> list[dict[str, Any]]:
    """As OpenAI's chat lists tokens: half a character is a replacement sign, and only its bytes tell which."""
    encoded = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
    return [{"token": each.decode("utf-8", "replace"), "bytes": list(each), "logprob": -0.5} for each in encoded]


@pytest.mark.parametrize("reasoning", [[], ["Hm", "m.\n"]], ids=["plain", "after hidden reasoning"])
@pytest.mark.parametrize("code", [CODE, SPLIT], ids=["whole characters", "halves of one"])
def test_code_is_found_among_the_tokens(reasoning: list[str], code: list[str | bytes]) -> None:
    text = "".join([*TALK, *CODE, "\n```"])
    content = spelling([*reasoning, *TALK, *code, "\n```", "<|end|>"])
    read = read_answer(changed(OPENAI_CHAT, message={"content": text}, logprobs={"content": content}, usage={}))
    start = len(reasoning) + len(TALK)
    assert read.read(answer="module").code_tokens == (start, start + len(code))


def test_code_is_found_where_tokens_are_given_as_text_alone() -> None:
    tokens = [*TALK, *CODE, "\n```"]
    logprobs = {"tokens": tokens, "token_logprobs": [-0.5] * 7, "top_logprobs": None}
    read = read_answer(changed(VLLM_COMPLETION, text="".join(tokens), logprobs=logprobs, usage={}))
    assert read.read(answer="module").code_tokens == (3, 6)


@pytest.mark.parametrize(
    "tokens", [["token_id:64", "token_id:65"], ["class ModelNew", None], ["class ModelNew: 1"], None, "class"]
)
def test_code_that_the_tokens_do_not_spell_has_no_span(tokens: Any) -> None:
    logprobs = {"tokens": tokens, "token_logprobs": [-0.5, -1.5], "top_logprobs": None}
    read = read_answer(changed(VLLM_COMPLETION, text="class ModelNew: 1", logprobs=logprobs))
    assert read.logprobs == (-0.5, -1.5) and read.read(answer="module").code_tokens is None


KEYS = (
    *("choices", "message", "content", "text", "logprobs", "token_logprobs", "top_logprobs", "token_ids"),
    *("logprob", "token", "tokens", "bytes", "id", "usage", "completion_tokens", "finish_reason", "model"),
    *("delta", "index", "reasoning", "error"),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


bodies = json_values | json_values.map(lambda each: {"choices": [each]})


events = st.lists(json_values | bodies, max_size=4).map(
    lambda each: "".join(f"data: {json.dumps(e)}\n\n" for e in each)
)


@given(st.text(max_size=20) | bodies.map(json.dumps) | events)
def test_any_body_is_read_or_refused_in_words(body: str) -> None:
    try:
        read = read_answer(body)
    except ServerError as error:
        assert str(error)
    except ValueError as error:
        assert str(error) in ("no JSON", 'no "choices"') or str(error).startswith("a content ")
    else:
        assert read.logprobs is None or all(-9998 < value <= 0 for value in read.logprobs)
        assert read.token_ids is None or read.logprobs is None or len(read.token_ids) == len(read.logprobs)
        assert read.pieces is None or (read.logprobs is not None and len(read.pieces) == len(read.logprobs))
        assert read.read(answer="forward_body").code_tokens is None or read.pieces
