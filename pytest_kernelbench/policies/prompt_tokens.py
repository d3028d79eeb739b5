"""Messages as the tokens that a model of transformers begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.prompting.prompts import as_plain_text, without_system

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def prompt_tokens(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict[str, str]],
    *,
    chat_template: bool,
    template_kwargs: Mapping[str, Any] | None = None,
) -> list[int]:
    """Through the tokenizer's chat template, which is given ``template_kwargs``, or as plain text.

    Raises PolicyError for a template that refuses the question without a system's message too.
    """
    if not chat_template:
        return list(tokenizer(as_plain_text(messages))["input_ids"])

    def rendered(these: list[dict[str, str]]) -> str:
        text = tokenizer.apply_chat_template(
            these, tokenize=False, add_generation_prompt=True, **(template_kwargs or {})
        )
        return str(text)

    try:
        text = rendered(messages)
    except TemplateError:
        # Gemma 2, Mistral's first models and others raise "System role not supported".
        try:
            text = rendered(without_system(messages))
        except TemplateError as error:
            raise PolicyError(
                f"the chat template of {tokenizer.name_or_path} refuses the question ({error}); "
                "write chat_template = false into a policy file"
            ) from None
    # The template writes the special tokens itself, and they must not come twice.
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
