"""Small random models behind the policy's interface, and rollouts of two prompts for them."""

from policies.random_models import llama

from pytest_kernelbench.policies.causal_lm import CausalLMPolicy

ROWS = (
    ((5, 6, 7), ((8, 9, 10, 0), (11, 12, 0), (13, 14, 15, 16, 17, 0))),
    ((20, 21, 22, 23, 24), ((25, 0), (26, 27, 28, 29, 0), (30, 31, 0))),
)


class WordPolicy(CausalLMPolicy):
    """A token is a character; a prompt is the task's source."""

    def __init__(self, model):
        self.name, self.version, self.model = "made-up", "made-up", model
        self.eos_ids = frozenset({0})

    def prompt_ids(self, task, answer, *, advice=""):
        tokens = self.model.config.vocab_size - 2
        return [2 + ord(character) % tokens for character in task.source + advice]

    def decode(self, token_ids):
        return "".join(chr(token) for token in token_ids)


def moe():
    """Two of four experts a token."""
    return _random("qwen3_moe", num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, head_dim=8)


def gpt_oss():
    """gpt-oss in small: sinks, sliding windows, clamped experts with biases."""
    return _random("gpt_oss", num_local_experts=4, num_experts_per_tok=2, head_dim=8, sliding_window=8)


def _random(kind, **changes):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {key: value for key, value in llama().config.to_dict().items() if key in SHAPE}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**shape, "tie_word_embeddings": False, "pad_token_id": None, **changes})
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    return model


SHAPE = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("intermediate_size", "max_position_embeddings", "eos_token_id"),
)
