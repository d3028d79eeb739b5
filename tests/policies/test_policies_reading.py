"""An answer and its tokens are divided into reasoning, answer and code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.policies.reading import read_text, read_tokens

CODE = "import torch\n\n\nclass ModelNew:\n    pass"


def read(pieces: list[str], answer: str = "module", stop_reason: str = "length", opened: bool = False, special=()):
    """As of a tokenizer whose tokens are ``pieces``, of which some are ``special``."""

    def spell(some):
        return "".join(pieces[each] for each in some)

    def decode(some):
        return "".join(pieces[each] for each in some if pieces[each] not in special)

    ids = range(len(pieces))
    return read_tokens(ids, stop_reason, decode=decode, spell=spell, opened=opened, answer=answer)


def span_of(pieces: list[str], answer: str = "module"):
    return read(pieces, answer).code_tokens


def test_the_tokens_inside_the_fence_are_the_code():
    talk, code = ["Here", " it is:\n", "```", "python", "\n"], ["import torch\n\n\n", "class ModelNew:", "\n    pass"]
    pieces = [*talk, *code, "\n```", "\nDone."]
    assert span_of(pieces) == (5, 8)


def test_a_token_that_is_partly_code_counts_as_code():
    assert span_of(["```python\nimport", " torch\n\n\nclass ModelNew:\n", "    pass\n``", "`"]) == (0, 3)


def test_an_answer_that_is_all_code_is_code_from_end_to_end():
    assert span_of(["import torch\n\n\n", "class ModelNew:\n", "    pass"]) == (0, 3)


def test_an_answer_without_code_has_no_span():
    assert span_of(["I ", "cannot."]) is None
    assert span_of([]) is None


def test_code_that_is_indented_is_code_where_it_stands():
    assert span_of(["Here:\n", "  ```python\n", "  class ModelNew:\n", "      pass", "\n  ```"]) == (2, 4)


def test_code_in_several_parts_has_no_span():
    blocks = ["```python\n", "def f(): ...\n", "```\n", "```python\n", "class ModelNew:\n    forward = f()\n", "```"]
    assert span_of(blocks) is None


# Reasoning

MARKS = ("<|channel|>", "<|message|>", "<|end|>", "<|start|>", "<|return|>", "<think>", "</think>", "<eos>")
THOUGHT = ["<think>", "\n", "Hm.", "\n", "</think>", "\n\n"]
HARMONY = ["<|channel|>", "analysis", "<|message|>", "Hm.", "<|end|>", "<|start|>", "assistant"]
FINAL = [*HARMONY, "<|channel|>", "final", "<|message|>"]


@pytest.mark.parametrize("special", [(), MARKS], ids=["spelt", "special"])
@pytest.mark.parametrize("before", [THOUGHT, FINAL, THOUGHT[1:]], ids=["tags", "harmony", "opened"])
def test_reasoning_answer_and_code_are_apart_among_the_tokens(before, special):
    answer = ["So:\n", "```python\n", CODE, "\n```"]
    found = read([*before, *answer, "<eos>"], stop_reason="stop", opened=before == THOUGHT[1:], special=special)
    n = len(before)
    assert found.text.strip() == "".join(answer) and found.reasoning == "Hm." and found.cut_off is False
    # White space after the reasoning is of the answer.
    assert found.answer_tokens in ((n, n + 5), (n - 1, n + 5)) and found.code_tokens == (n + 2, n + 3)


@pytest.mark.parametrize("before", [THOUGHT[:3], HARMONY[:4], THOUGHT[1:3]], ids=["tags", "harmony", "opened"])
@pytest.mark.parametrize("stop_reason", ["length", "stop"])
def test_a_draft_in_reasoning_that_does_not_end_is_no_answer(before, stop_reason):
    end = ["<eos>"] if stop_reason == "stop" else []
    draft = [*before, f"```python\n{CODE}\n```", *end]
    found = read(draft, stop_reason=stop_reason, opened=before == THOUGHT[1:3], special=MARKS)
    assert (found.text, found.answer_tokens, found.code_tokens) == ("", None, None)
    assert found.cut_off is (stop_reason == "length") and found.reasoning and "class ModelNew" in found.reasoning


def test_an_answer_without_reasoning_is_every_token():
    found = read(["class ModelNew: 1", "<eos>"], stop_reason="stop", special=MARKS)
    assert (found.text, found.reasoning, found.answer_tokens) == ("class ModelNew: 1", None, (0, 2))


@pytest.mark.parametrize(
    ("said", "beside", "stop_reason", "answer", "reasoning", "cut_off"),
    [
        ("a", "r", "stop", "a", "r", False),
        ("a", "r", None, "a", "r", None),
        ("a", "r", "length", "a", "r", True),
        ("", "r", "length", "", "r", True),
        ("", "r", None, "", "r", True),
        ("<think>b</think>a", "r", "stop", "a", "r\n\nb", False),
    ],
)
def test_reasoning_that_a_server_hands_over_beside_the_text_is_kept(
    said, beside, stop_reason, answer, reasoning, cut_off
):
    _, found = read_text(said, stop_reason, reasoning=beside)
    assert (found.text, found.reasoning, found.cut_off) == (answer, reasoning, cut_off)


def test_the_body_of_forward_is_the_code_where_that_was_asked_for():
    assert span_of(["Sure:\n", "```\n", "return x", "\n```"], answer="forward_body") == (2, 3)


@given(st.data())
def test_however_the_text_is_cut_into_tokens_the_span_holds_the_code_and_starts_and_ends_in_it(data):
    text = f"Before.\n```python\n{CODE}\n```\nAfter."
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=20)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    first, end = span_of(pieces)
    assert CODE in "".join(pieces[first:end])
    assert CODE not in "".join(pieces[first + 1 : end])
    assert CODE not in "".join(pieces[first : end - 1])
