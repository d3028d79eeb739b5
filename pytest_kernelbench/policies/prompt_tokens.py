"""Messages as the tokens that a model of transformers begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_kernelbench.prompting.prompts import as_plain_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def prompt_tokens(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict[str, str]],
    *,
    chat_template: bool,
    template_kwargs: Mapping[str, Any] | None = None,
) -> list[int]:
    """Through the tokenizer's chat template, which is given ``template_kwargs``, or as plain text."""
    if not chat_template:
        return list(tokenizer(as_plain_text(messages))["input_ids"])
    # As text first: the template writes the special tokens itself, and they must not come twice.
    text = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, **(template_kwargs or {})
    )
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
