"""A model's reasoning is separated from its answer, by tags, by channels and by the prompt that opens it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.prompting.reasoning import CLOSING, opens_reasoning, parts_of

DRAFT = "```python\nclass ModelNew: pass  # draft\n```"
ANSWER = "```python\nclass ModelNew:\n    def forward(self, x):\n        return x\n```"
HARMONY = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}"


@pytest.mark.parametrize("opening", sorted(CLOSING))
def test_reasoning_between_tags_is_no_part_of_the_answer(opening: str) -> None:
    text = f"{opening}\n{DRAFT}\n{CLOSING[opening]}\n\n{ANSWER}"
    parts = parts_of(text)
    assert parts.answer.strip() == ANSWER and parts.reasoning == DRAFT and parts.closed
    assert parts.start is not None and text[parts.start :] == parts.answer


@pytest.mark.parametrize("opened", [True, False])
def test_reasoning_that_the_template_opened_ends_at_the_closing_tag(opened: bool) -> None:
    parts = parts_of(f"Hm.\n{DRAFT}\n</think>{ANSWER}", opened=opened)
    assert (parts.answer, parts.reasoning, parts.closed) == (ANSWER, f"Hm.\n{DRAFT}", True)


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        (f"<think>\n{DRAFT}\nBut", False),
        (f"{DRAFT}\nBut", True),
        (f"<think>\n{DRAFT}\nBut", True),
        (f"<|channel|>analysis<|message|>{DRAFT}\nBut", False),
        ("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final", False),
    ],
)
def test_reasoning_that_is_not_closed_leaves_no_answer(text: str, opened: bool) -> None:
    parts = parts_of(text, opened=opened)
    assert not parts.closed and parts.answer == "" and parts.reasoning


def test_answer_that_turns_to_reasoning_again_keeps_what_it_said() -> None:
    parts = parts_of(f"<think>a</think>{ANSWER}\n<think>Wait, {DRAFT}")
    assert parts.answer.strip() == ANSWER and parts.reasoning == f"a\n\nWait, {DRAFT}" and not parts.closed


def test_tags_in_code_are_code() -> None:
    text = "```python\nTAG = '<think>'\nEND = '</think>'\n```"
    assert parts_of(text) == parts_of(text).__class__(answer=text)


@pytest.mark.parametrize("end", ["", "<|return|>", "<|end|>"])
def test_the_final_channel_is_the_answer(end: str) -> None:
    text = HARMONY.format(DRAFT, ANSWER) + end
    parts = parts_of(text)
    assert (parts.answer, parts.reasoning, parts.closed) == (ANSWER, DRAFT, True)
    assert parts.start is not None and text[parts.start :].startswith(ANSWER)


def test_other_channels_and_calls_of_tools_are_no_answer() -> None:
    call = "<|start|>assistant<|channel|>commentary to=functions.run <|constrain|>json<|message|>{}<|call|>"
    parts = parts_of(f"<|channel|>analysis<|message|>Hm.<|end|>{call}")
    assert (parts.answer, parts.reasoning, parts.closed) == ("", "Hm.\n\n{}", False)


def test_message_that_the_prompt_began_is_reasoning() -> None:
    text = f"Hm.<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}"
    assert (parts_of(text, opened=True).reasoning, parts_of(text, opened=True).answer) == ("Hm.", ANSWER)


def test_channels_without_their_special_tokens_are_told_apart() -> None:
    parts = parts_of(f"analysisWe need {DRAFT}assistantfinal{ANSWER}")
    assert (parts.answer, parts.reasoning) == (ANSWER, f"We need {DRAFT}")


def test_channels_without_their_special_tokens_that_are_cut_off_leave_no_answer() -> None:
    parts = parts_of(f"analysisWe need {DRAFT}")
    assert (parts.answer, parts.reasoning, parts.closed) == ("", f"We need {DRAFT}", False)
    assert parts_of("analysis of the reference: slow").answer == "analysis of the reference: slow"


def test_reasoning_that_is_announced_in_words_is_no_answer() -> None:
    thought = f"Here is my thought process:\nSay {DRAFT}\n"
    parts = parts_of(f"{thought}Here is my response:\n\n{ANSWER}")
    assert (parts.answer.strip(), parts.reasoning, parts.closed) == (ANSWER, f"Say {DRAFT}", True)
    assert (parts_of(thought).answer, parts_of(thought).closed) == ("", False)


@pytest.mark.parametrize(
    ("prompt", "inside"),
    [
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("<|start|>assistant", False),
        ("<|start|>assistant<|channel|>analysis<|message|>", True),
        ("Answer:\n", False),
    ],
)
def test_prompt_that_opens_the_reasoning_is_known(prompt: str, inside: bool) -> None:
    assert opens_reasoning(prompt) is inside


TEXTS = st.text(max_size=60) | st.lists(
    st.sampled_from([*CLOSING, *CLOSING.values(), "<|channel|>", "final", "<|message|>", "<|end|>", "a", "\n", "```"])
).map("".join)


@given(TEXTS, st.booleans())
def test_any_text_has_parts_and_they_are_of_it(text: str, opened: bool) -> None:
    parts = parts_of(text, opened=opened)
    json.dumps([parts.answer, parts.reasoning])
    if parts.start is not None:
        assert text[parts.start : parts.start + len(parts.answer)] == parts.answer
    assert parts.reasoning is not None or (parts.answer == text and not opened)
