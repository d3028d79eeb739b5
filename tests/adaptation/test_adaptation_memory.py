"""Memory computed from shapes: weights and adapters have their real sizes, and each part grows with its dimensions."""

from dataclasses import replace

import pytest
import torch
from families import CHANGES, family
from made_up_policies import WordPolicy
from policies.random_models import llama

from pytest_kernelbench.adaptation.lora import BYTES_A_PARAMETER
from pytest_kernelbench.adaptation.memory import GIB, Load, for_sampling, for_training, total_gib, trained_parameters
from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.strategy import Adaptation, Lora

pytestmark = pytest.mark.filterwarnings("ignore:.*falling back")
LOAD = Load(rollouts=4, prompt_tokens=100, max_tokens=50)
EIGHT_B = {
    **{"vocab_size": 128256, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32},
    **{"num_key_value_heads": 8, "intermediate_size": 14336, "max_position_embeddings": 8192},
}


@pytest.mark.parametrize("kind", CHANGES)
def test_the_adapter_counted_is_the_adapter_made(kind):
    model = family(kind)
    for experts in {False, "experts" in str(type(model)).lower() or kind in ("gpt_oss", "qwen3_moe", "deepseek_v3")}:
        settings = Adaptation(lora=Lora(rank=4, experts=experts))
        counted = trained_parameters(model, settings)
        with PeftTrainer(WordPolicy(model), settings=settings, temperature=1.0, max_tokens=8, seed=0) as trainer:
            assert trainer.described["trained_parameters"] == counted
        parts = for_training(model, LOAD, settings)
        assert parts["adapter and optimizer"] == counted * BYTES_A_PARAMETER
        assert parts["weights"] == sum(each.numel() * 4 for each in model.parameters())


def test_shards_divide_the_weights_and_add_the_layers_that_are_gathered():
    model = llama()
    whole, half = (for_sampling(model, replace(LOAD, shards=n)) for n in (1, 2))
    assert half["weights"] == whole["weights"] // 2
    layer = sum(each.numel() * 4 for each in model.model.layers[0].parameters())
    outside = whole["weights"] - 2 * layer
    assert half["gathered layers"] == 2 * layer + outside
    assert half["keys and values"] == whole["keys and values"] == 2 * 2 * 2 * 8 * 4 * 150 * 4


def test_a_step_of_an_8_b_model_is_counted_within_a_tenth_of_what_was_measured():
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**EIGHT_B, tie_word_embeddings=False)).to(torch.bfloat16)
    load = Load(rollouts=160, prompt_tokens=768, max_tokens=1024)
    assert total_gib(for_training(model, load, Adaptation(lora=Lora(rank=16)))) == pytest.approx(25.5, rel=0.1)
    assert for_training(model, load, Adaptation())["weights"] / GIB == pytest.approx(15.0, abs=0.1)
