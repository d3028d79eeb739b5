"""Answers of servers of different makers, reduced to the fields that are used: each is read, or tried again."""

import json
from typing import Any

import pytest
from openai_stand_in import FENCED, body

from pytest_kernelbench.policies.openai_answers import ServerError, read_answer

PIECES = [FENCED[start : start + 5] for start in range(0, len(FENCED), 5)]
N = len(PIECES)
CONTENT = [{"token": piece, "bytes": list(piece.encode()), "logprob": -0.5, "top_logprobs": []} for piece in PIECES]
LISTED = {"tokens": PIECES, "token_logprobs": [-0.5] * N, "top_logprobs": [{piece: -0.5} for piece in PIECES]}


@pytest.mark.parametrize(
    ("kind", "text", "reasoning"),
    [
        ({"message": {"content": FENCED, "reasoning_content": None, "reasoning": "Hm."}}, FENCED, "Hm."),
        ({"message": {"content": FENCED, "reasoning_content": "", "reasoning": None, "tool_calls": []}}, FENCED, None),
        (
            {"message": {"content": FENCED, "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}},
            FENCED,
            "Hm.",
        ),
        (
            {"message": {"content": FENCED, "reasoning_details": [{"type": "reasoning.encrypted", "data": "e3"}]}},
            FENCED,
            "",
        ),
        ({"message": {"content": {"type": "text", "text": FENCED}}}, FENCED, None),
        ({"message": {"content": [{"type": "output_text", "text": FENCED}]}}, FENCED, None),
        ({"message": {"role": "assistant", "content": None, "reasoning": "Hm."}}, "", "Hm."),
        ({"message": {"content": None, "thinking": "Hm."}}, "", "Hm."),
    ],
    ids=[
        "vLLM's newer key",
        "SGLang without reasoning",
        "OpenRouter's details",
        "OpenRouter's hidden details",
        "a part alone",
        "parts of a response",
        "reasoning alone",
        "Ollama's key",
    ],
)
def test_reasoning_is_found_under_each_makers_key(kind: Any, text: str, reasoning: str | None) -> None:
    read = read_answer(body(**kind))
    assert (read.text, read.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("said", "stop_reason", "cut_off"),
    [
        ("eos_token", "stop", False),  # TGI
        ("eos", "stop", False),  # Together
        ("stop_sequence", "stop", False),  # TGI
        ("end_turn", "stop", False),  # Anthropic, by a proxy
        ("STOP", "stop", False),  # Gemini, by a proxy
        ("length", "length", True),
        ("MAX_TOKENS", "length", True),  # Gemini, by a proxy
        ("max_tokens", "length", True),
        ("max_output_tokens", "length", True),
        ("model_length", "length", True),  # Mistral
        ("model_context_window_exceeded", "length", True),
        ("function_call", "tool_calls", False),
        ("tool_use", "tool_calls", False),
        ("SAFETY", "content_filter", False),
        ("content_filter: RECITATION", "content_filter", False),
        ("something new", "something new", False),
        (None, None, None),  # Ollama's older versions
    ],
)
def test_the_end_of_an_answer_is_known_by_each_makers_word(said: Any, stop_reason: Any, cut_off: Any) -> None:
    read = read_answer(body({"content": FENCED}, said))
    assert read.stop_reason == stop_reason and read.read(answer="module").cut_off is cut_off


@pytest.mark.parametrize("said", ["abort", "error", "load", "insufficient_system_resource", "cancelled"])
def test_an_answer_that_the_server_broke_off_is_no_answer(said: str) -> None:
    with pytest.raises(ServerError) as error:
        read_answer(body({"content": "class Mo"}, said))
    assert error.value.passing and str(error.value) == f'an answer that it broke off ("{said}")'


@pytest.mark.parametrize("choices", [[], None])
def test_an_answer_without_a_choice_may_pass(choices: Any) -> None:
    with pytest.raises(ServerError) as error:
        read_answer(json.dumps({"model": "letters", "choices": choices, "usage": {"prompt_tokens": 3}}))
    assert error.value.passing and str(error.value) == "an answer without a choice"


@pytest.mark.parametrize(
    ("logprobs", "end"),
    [
        ({"content": CONTENT, "refusal": None}, "stop"),  # OpenAI, vLLM, SGLang
        ({"content": [{**each, "sampling_logprob": -0.4} for each in CONTENT], "token_logprobs": None}, "stop"),
        ({**LISTED, "text_offset": [0] * N, "token_ids": list(range(N))}, "stop"),  # Fireworks, in a chat
        ({**LISTED, "top_logprobs": None, "token_ids": list(range(N))}, "eos"),  # Together
        (CONTENT, "stop"),  # a list alone, by a proxy
    ],
)
def test_log_probabilities_of_each_shape_are_read(logprobs: Any, end: str) -> None:
    usage = {"completion_tokens": N + 1, "prompt_tokens": 9}  # with the end token, which has no entry
    read = read_answer(body({"content": FENCED}, end, logprobs=logprobs, usage=usage))
    assert read.logprobs == (-0.5,) * N
    reading = read.read(answer="module")
    assert reading.answer_tokens == (0, N) and reading.code_tokens == (2, N - 1)


@pytest.mark.parametrize(
    "logprobs", [None, {}, {"content": None}, {"content": []}, {"tokens": [], "token_logprobs": []}]
)
def test_an_empty_table_holds_no_log_probabilities(logprobs: Any) -> None:
    read = read_answer(body({"content": FENCED}, logprobs=logprobs))
    assert (read.logprobs, read.missing) == (None, "none were given")


@pytest.mark.parametrize("usage", [None, {}, {"completion_tokens": None}, {"completion_tokens": 0}, "none"])
def test_usage_may_be_missing(usage: Any) -> None:
    text = json.loads(body({"content": FENCED}, logprobs={"content": CONTENT}))
    assert read_answer(json.dumps({**text, "usage": usage})).logprobs == (-0.5,) * N


STREAM = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}], "model": "letters"},
    {"choices": [{"index": 0, "delta": {"reasoning_content": "Hm"}}]},
    {"choices": [{"index": 0, "delta": {"reasoning_content": "."}}]},
    *(
        {"choices": [{"index": 0, "delta": {"content": each["token"]}, "logprobs": {"content": [each]}}]}
        for each in CONTENT
    ),
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"completion_tokens": N + 3, "prompt_tokens": 9}},
]


@pytest.mark.parametrize("end", ["data: [DONE]\n\n", ""])
def test_a_stream_that_was_not_asked_for_is_read(end: str) -> None:
    text = ": keep-alive\n\n" + "".join(f"data: {json.dumps(each)}\n\n" for each in STREAM) + end
    read = read_answer(text)
    assert (read.text, read.reasoning, read.stop_reason, read.model) == (FENCED, "Hm.", "stop", "letters")
    assert read.logprobs == (-0.5,) * N and read.prompt_tokens == 9


def test_a_stream_that_ends_early_is_asked_for_again() -> None:
    text = "".join(f"data: {json.dumps(each)}\n\n" for each in STREAM[:6])
    with pytest.raises(ServerError) as error:
        read_answer(text)
    assert error.value.passing and str(error.value) == "a stream that ends early"


def test_an_error_in_a_stream_is_an_error() -> None:
    text = f"data: {json.dumps(STREAM[0])}\n\ndata: {json.dumps({'error': {'message': 'overloaded'}})}\n\n"
    with pytest.raises(ServerError, match="overloaded"):
        read_answer(text)


@pytest.mark.parametrize(
    "before",
    ["\n\n\n", ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n", "\ufeff"],
    ids=["lines", "comments", "mark"],
)
def test_what_keeps_a_connection_alive_is_no_part_of_the_answer(before: str) -> None:
    assert read_answer(before + body({"content": FENCED})).text == FENCED
