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
# A warning of transformers that peft causes.
OLD_NAME_IN_PEFT = "`is_gradient_checkpointing` is deprecated"
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


EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LINEAR = {
    **{"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8},
    **{"linear_conv_kernel_dim": 4, "layer_types": ["linear_attention", "full_attention"]},
}
SLIDING = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
LATENT = {
    **{"n_routed_experts": 4, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1},
    **{"q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16},
}
STATE = {
    **{"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1},
    **{"mamba_d_conv": 4, "mamba_chunk_size": 16},
}
# What each needs beside a common shape, by transformers' name for it.
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3": {},
    "qwen3_moe": {**EXPERTS, "decoder_sparse_step": 1},
    "qwen3_next": {**EXPERTS, **LINEAR, "shared_expert_intermediate_size": 16},
    "qwen3_5_text": LINEAR,
    "gpt_oss": {**SLIDING, "num_local_experts": 4, "num_experts_per_tok": 2},
    "gemma3_text": {**SLIDING, "query_pre_attn_scalar": 16},
    "deepseek_v3": {**LATENT, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "num_key_value_heads": 2},
    "lfm2": {"layer_types": ["conv", "full_attention"], "conv_L_cache": 3, "block_auto_adjust_ff_dim": False},
    "falcon_h1": STATE,
}


def family(name: str) -> Any:
    """A random model of a family: two layers of 32, attention or what it has in its place."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {
        **{"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 32},
        **{"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 4096},
        **{"bos_token_id": None, "eos_token_id": 0, "pad_token_id": None},
    }
    if name == "deepseek_v3":
        del shape["head_dim"]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **{**shape, **FAMILIES[name]})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.3)
    return model
