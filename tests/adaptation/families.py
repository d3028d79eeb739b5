"""One tiny random model of each family that has layers of its own."""

from policies.random_models import llama

EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
MAMBA = {"mamba_d_ssm": 64, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}
LINEAR = {
    **{"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8},
    **{"linear_conv_kernel_dim": 4, "layer_types": ["linear_attention", "full_attention"], "head_dim": 8},
}
CHANGES = {
    "llama": {},
    "qwen3": {"head_dim": 8},
    "gemma3_text": {"head_dim": 8, "sliding_window": 8},
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8},
    "falcon_h1": {**MAMBA, "head_dim": 8, "mamba_chunk_size": 8},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8, "sliding_window": 8},
    "qwen3_moe": {**EXPERTS, "num_experts": 4, "head_dim": 8},
    "qwen3_next": {**EXPERTS, **LINEAR, "num_experts": 4, "shared_expert_intermediate_size": 24},
    "qwen3_5_text": LINEAR,
    "deepseek_v3": {
        **EXPERTS,
        **LATENT,
        **{"n_routed_experts": 4, "n_group": 2, "topk_group": 1, "n_shared_experts": 1},
        **{"first_k_dense_replace": 1, "num_key_value_heads": 4},
    },
}
MIXTURES = ("gpt_oss", "qwen3_moe", "qwen3_next", "deepseek_v3")
SHAPE = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("intermediate_size", "max_position_embeddings", "eos_token_id"),
)


def family(kind, **changes):
    """Two layers and logits that are not flat, in float32."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {key: value for key, value in llama().config.to_dict().items() if key in SHAPE}
    shape = {**shape, "tie_word_embeddings": False, "pad_token_id": None, **CHANGES[kind], **changes}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape)).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    return model
