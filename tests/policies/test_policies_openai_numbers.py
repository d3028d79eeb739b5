"""Where a number is due, a server's JSON may hold anything: it is a number, or not measured."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.policies.openai_answers import ServerError, read_answer, read_answers
from pytest_kernelbench.policies.openai_numbers import (
    LEAST_LOGPROB,
    MOST_COUNTED,
    all_of,
    logarithm,
    logprob,
    whole_number,
)
from pytest_kernelbench.policies.openai_server import _context_in

HUGE = 10**400
# As JSON spells them; Python writes NaN and infinity as other programs write 1e999.
NO_NUMBERS = [None, True, False, "0.1", "", [], [0.5], {}, {"value": 1}, float("nan")]


@pytest.mark.parametrize("value", [*NO_NUMBERS, HUGE, -HUGE, -1, 0.5, float("inf"), float("-inf"), MOST_COUNTED + 1])
def test_what_counts_nothing_is_no_whole_number(value: Any) -> None:
    assert whole_number(value) is None


@pytest.mark.parametrize(("value", "read"), [(0, 0), (3, 3), (3.0, 3), (-0.0, 0), (MOST_COUNTED, MOST_COUNTED)])
def test_a_whole_number_may_be_written_with_a_point(value: Any, read: int) -> None:
    assert whole_number(value) == read and type(whole_number(value)) is int


@pytest.mark.parametrize("value", [*NO_NUMBERS, HUGE, float("inf"), 0.5, 1])
def test_what_is_over_zero_or_no_number_is_no_logarithm(value: Any) -> None:
    assert logarithm(value) is None and logprob(value) is None


@pytest.mark.parametrize("value", [-HUGE, float("-inf"), -1e308, -9999, -9999.0])
def test_a_probability_that_a_server_gives_as_none_at_all_has_a_logarithm_and_no_log_probability(value: Any) -> None:
    assert logarithm(value) == -9999.0 and logprob(value) is None


@given(st.floats(LEAST_LOGPROB, 0, exclude_min=True) | st.integers(-9997, 0))
def test_a_log_probability_is_read_as_it_was_written(value: float) -> None:
    assert logprob(value) == value and type(logprob(value)) is float
    assert all_of([value, 1e-7], logprob) == (value, 0.0)


ODD = st.sampled_from([*NO_NUMBERS, HUGE, -HUGE, -1, 0.5, float("inf"), float("-inf"), 2**63, -9999.0])


def shaped(logprobs: dict[str, Any], odd: dict[str, Any]) -> str:
    choice = {"index": odd["index"], "finish_reason": "length", "text": "ab", "logprobs": logprobs}
    usage = {name: odd[name] for name in ("completion_tokens", "prompt_tokens")}
    usage["completion_tokens_details"] = {"reasoning_tokens": odd["reasoning_tokens"]}
    return json.dumps({"choices": [{**choice, "token_ids": [1, odd["id"]]}], "usage": usage})


PLACES = ("index", "id", "completion_tokens", "prompt_tokens", "reasoning_tokens", "logprob", "top", "byte")


# -1 is odd everywhere but as a log-probability.
@given(st.fixed_dictionaries({**dict.fromkeys(PLACES, ODD), "logprob": ODD.filter(lambda value: value != -1)}))
def test_an_odd_number_is_not_measured_in_either_dialect(odd: dict[str, Any]) -> None:
    tops = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": odd["top"]}]
    entries = [{"id": 1, "token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": tops}]
    entries.append({"id": odd["id"], "token": "b", "bytes": [odd["byte"]], "logprob": odd["logprob"]})
    columns = {"tokens": ["a", "b"], "token_logprobs": [-0.5, odd["logprob"]]}
    columns["top_logprobs"] = [{"a": -0.5, "b": odd["top"]}] * 2
    for logprobs in ({"content": entries}, columns):
        read = read_answer(shaped(logprobs, odd))
        # No odd value is a log-probability, a token's id or a count that can be true.
        assert read.logprobs is None and read.token_ids is None and read.prompt_tokens is None
        assert all(math.isfinite(value) for value in read.first_top.values())
        assert read.self_certainty is None or math.isfinite(read.self_certainty)


@given(ODD)
def test_an_odd_byte_leaves_the_log_probabilities_without_the_text_of_their_tokens(byte: Any) -> None:
    entries = [{"token": "a", "bytes": [97], "logprob": -0.5}, {"token": "b", "bytes": [byte], "logprob": -1.5}]
    body = {"choices": [{"text": "ab", "logprobs": {"content": entries}}]}
    read = read_answer(json.dumps(body))
    assert (read.logprobs, read.pieces) == ((-0.5, -1.5), None)


@given(ODD)
def test_choices_with_odd_numbers_keep_their_order(number: Any) -> None:
    choices = [{"index": number, "text": "a"}, {"index": number, "text": "b"}]
    assert [each.text for each in read_answers(json.dumps({"choices": choices}))] == ["a", "b"]


@pytest.mark.parametrize(
    ("code", "passing"),
    [("404", False), (404.0, False), ("429", True), (HUGE, True), ("4" * 5000, True), (True, True), ([400], True)],
)
def test_the_code_of_an_error_is_a_status_or_nothing(code: Any, passing: bool) -> None:
    with pytest.raises(ServerError, match=r'^"no"$') as error:
        read_answer(json.dumps({"error": {"message": "no", "code": code}}))
    assert error.value.passing is passing


# Python's int() refuses over 4,300 digits, and json.dumps() with it: the text is written here.
ENDLESS = "1" * 5000


@pytest.mark.parametrize("streamed", [False, True])
def test_an_integer_that_python_refuses_to_read_is_not_measured_and_its_answer_is_read(streamed: bool) -> None:
    said = '"delta": {"content": "a"}' if streamed else '"text": "a"'
    body = f'{{"choices": [{{"index": {ENDLESS}, {said}, "finish_reason": "stop"}}], '
    body += f'"created": {ENDLESS}, "usage": {{"prompt_tokens": {ENDLESS}, "completion_tokens": -{ENDLESS}}}}}'
    read = read_answer(f"data: {body}\n\ndata: [DONE]\n\n" if streamed else body)
    assert (read.text, read.stop_reason, read.prompt_tokens) == ("a", "stop", None)


@pytest.mark.parametrize("index", [True, -1, 0.5, HUGE, "1", None])
def test_an_odd_index_in_a_stream_is_the_first_choice(index: Any) -> None:
    parts = [{"index": 1, "delta": {"content": "second"}}, {"index": index, "delta": {"content": "first"}}]
    events = [{"choices": [{**part, "finish_reason": "stop"}]} for part in parts]
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    assert [each.text for each in read_answers(text)] == ["first", "second"]


@pytest.mark.parametrize(("listed", "context"), [(4000, 4000), (4000.0, 4000), (True, None), (0, None), (HUGE, None)])
def test_the_context_that_a_server_lists_is_a_count_or_not_known(listed: Any, context: int | None) -> None:
    assert _context_in({"max_model_len": listed}) == context
