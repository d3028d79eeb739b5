"""A gpt-oss of two small layers that says what it is told to, and a tokenizer with harmony's special tokens."""

import inspect
from pathlib import Path
from typing import Any

from random_models import FAMILIES, REFERENCE, VOCABULARY

from pytest_kernelbench.policies.decoding import cache_name

SPECIAL = ("<|return|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|call|>")
TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message.role }}<|message|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
ANALYSIS, FINAL = "<|channel|>analysis<|message|>", "<|start|>assistant<|channel|>final<|message|>"


def save_harmony(folder: Path) -> Any:
    """Write tokenizer, template and weights; returns the tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GptOssForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator([REFERENCE], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|return|>", additional_special_tokens=list(SPECIAL[1:])
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    GptOssForCausalLM(gpt_oss_config()).save_pretrained(folder)
    return tokenizer


def gpt_oss_config() -> Any:
    from transformers import GptOssConfig

    shape = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 32}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 16384}
    ends = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": None}
    return GptOssConfig(**shape, **heads, **ends, **FAMILIES["gpt_oss"])


def saying(model: Any, script: list[int], start: int) -> Any:
    """``model`` with 60 nats on each token of ``script``, which follows a prompt of ``start`` tokens."""
    forward = model.forward

    def scripted(input_ids: Any, **more: Any) -> Any:
        cache = more.get(cache_name(model))
        before = cache.get_seq_length() if cache is not None else 0
        output = forward(input_ids=input_ids, **more)
        end = before + input_ids.shape[1]
        for place in range(output.logits.shape[1]):
            said = end - output.logits.shape[1] + place + 1 - start
            if 0 <= said < len(script):
                output.logits[:, place, script[said]] += 60
        return output

    # Seen by whoever asks what it takes.
    scripted.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    model.forward = scripted
    return model
