"""Small random models and a tokenizer, in the shapes that the policies load."""

from pathlib import Path
from typing import Any

REFERENCE = """\
import torch


class Model(torch.nn.Module):
    def forward(self, a):
        return torch.relu(a)
"""
VOCABULARY = 320
# As the byte-level tokenizer spells them: a space and a line feed have letters of their own.
ASCII = [*map(chr, range(33, 127)), "\u0120", "\u010a"]


def save_tokenizer(folder: Path, *, ascii_only: bool = False) -> None:
    """Every byte is a token, or every printable ASCII character: then no character is spread over tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<end>"],
        initial_alphabet=ASCII if ascii_only else pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([REFERENCE], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))


def llama(**changes: Any) -> Any:
    """A random Llama with uneven logits: those of a fresh one are so flat that no draw could go wrong."""
    import torch
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": None,
    }
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**shape | changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    return model
