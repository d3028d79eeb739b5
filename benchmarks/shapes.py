"""Shapes of published models, for benchmarks on random weights: numbers of their configuration files, no weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

NO_TOKENS = {"eos_token_id": None, "bos_token_id": None, "pad_token_id": None}
GPT_OSS = {
    **{"vocab_size": 201088, "hidden_size": 2880, "num_attention_heads": 64, "num_key_value_heads": 8},
    **{"head_dim": 64, "intermediate_size": 2880, "num_experts_per_tok": 4, "sliding_window": 128},
    **{"max_position_embeddings": 131072, "tie_word_embeddings": False},
}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt-oss-20b": ("gpt_oss", {**GPT_OSS, "num_hidden_layers": 24, "num_local_experts": 32}),
    "gpt-oss-120b": ("gpt_oss", {**GPT_OSS, "num_hidden_layers": 36, "num_local_experts": 128}),
    "Qwen3-Coder-30B-A3B": (
        "qwen3_moe",
        {
            **{"vocab_size": 151936, "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 32},
            **{"num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 5472, "num_experts": 128},
            **{"num_experts_per_tok": 8, "moe_intermediate_size": 768, "max_position_embeddings": 262144},
            **{"tie_word_embeddings": False},
        },
    ),
    "toy": (
        "qwen3_moe",
        {
            **{"vocab_size": 512, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
            **{"num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48, "num_experts": 4},
            **{"num_experts_per_tok": 2, "moe_intermediate_size": 24, "max_position_embeddings": 4096},
        },
    ),
}


def model_of(shape: str, device: str, dtype: torch.dtype = torch.bfloat16) -> Any:
    """A model of that shape on ``device``; on ``meta`` it has no weights at all and takes no memory."""
    kind, changes = SHAPES[shape]
    config = AutoConfig.for_model(kind, **changes, **NO_TOKENS)
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
