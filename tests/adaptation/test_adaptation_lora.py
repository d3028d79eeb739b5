"""What is adapted in each family of models: its layers, its experts where they are declared, never a router."""

from types import SimpleNamespace

import pytest
import torch
from families import CHANGES, MIXTURES, family
from made_up_policies import ROWS, WordPolicy

from pytest_kernelbench.adaptation.lora import said_of, targets_of
from pytest_kernelbench.adaptation.objective import token_logprobs
from pytest_kernelbench.adaptation.peft_trainer import PeftTrainer
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.errors import PolicyError, UsageError
from pytest_kernelbench.policies.adapters import with_adapter
from pytest_kernelbench.strategy import Adaptation, Lora

# State-space and convolution layers of transformers say that they run without their CUDA kernels.
pytestmark = pytest.mark.filterwarnings("ignore:.*falling back")
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
MLP = {"gate_proj", "up_proj", "down_proj"}
LAYERS = {
    "llama": ATTENTION | MLP,
    "qwen3": ATTENTION | MLP,
    "gemma3_text": ATTENTION | MLP,
    "lfm2": {"q_proj", "k_proj", "v_proj", "out_proj", "in_proj", "w1", "w2", "w3"},
    "falcon_h1": ATTENTION | MLP | {"in_proj"},  # its mixer reads out_proj's weight past the layer
    "gpt_oss": ATTENTION,
    "qwen3_moe": ATTENTION,
    "qwen3_next": ATTENTION | {"in_proj_qkvz", "in_proj_ba", "out_proj"},
    "qwen3_5_text": ATTENTION | MLP | {"in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj"},
    "deepseek_v3": {"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"},
}
PARAMETERS = {"gate_up_proj", "down_proj"}


def rows_for(model):
    rows = []
    for prompt, answers in ROWS:
        for place, answer in enumerate(answers):
            row = TrainingRow(
                prompt_ids=prompt,
                token_ids=answer,
                behaviour=(0.0,) * len(answer),
                advantages=((-1.0) ** place,) * len(answer),
            )
            with torch.no_grad():
                behaviour = tuple(token_logprobs(model, [row], temperature=1.0).chosen[0].tolist())
            rows.append(
                TrainingRow(prompt_ids=prompt, token_ids=answer, behaviour=behaviour, advantages=row.advantages)
            )
    return rows


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(1, 24)[None], use_cache=False).logits


def trainer_on(model, **settings):
    settings = {"learning_rate": 1e-2, "lora_rank": 4, **settings}
    return PeftTrainer(
        WordPolicy(model), settings=Adaptation.from_json(settings), temperature=1.0, max_tokens=8, seed=0
    )


@pytest.mark.parametrize("kind", CHANGES)
def test_all_linear_is_attention_state_space_and_mlp_and_never_a_router(kind):
    targets = targets_of(family(kind), Adaptation())
    assert {name.rpartition(".")[2] for name in targets.layers} == LAYERS[kind]
    assert targets.parameters == () and targets.experts is (False if kind in MIXTURES else None)
    if kind in MIXTURES:
        declared = targets_of(family(kind), Adaptation(lora=Lora(experts=True)))
        assert declared.layers == targets.layers and declared.experts
        assert {name.rpartition(".")[2] for name in declared.parameters} == PARAMETERS
        assert not any(name.endswith(("router", "gate")) for name in (*declared.layers, *declared.parameters))


@pytest.mark.parametrize(
    ("kind", "experts"), [*((kind, False) for kind in CHANGES), *((kind, True) for kind in MIXTURES)]
)
def test_a_family_takes_a_step_and_its_saved_adapter_gives_the_same_logits_to_the_bit(kind, experts, tmp_path):
    model = family(kind)
    start, rows = logits(model), rows_for(model)
    with trainer_on(model, lora_experts=experts) as trainer:
        update = trainer.update(rows, step=1)
        assert (update["ratio_min"], update["ratio_max"]) == pytest.approx((1, 1), abs=1e-4)
        trainer.save(tmp_path / "adapter", update)
        trainer.use_adapted("1")
        adapted = logits(trainer.model)
        moved = list(trainer.checkpoint({}).adapter)
        assert not any("router" in name or "gate." in name for name in moved) and not torch.equal(adapted, start)
        assert any("experts" in name for name in moved) is experts
        trainer.use_loaded()
        assert torch.equal(logits(trainer.model), start)
    assert torch.equal(logits(with_adapter(family(kind), tmp_path / "adapter", "made-up")), adapted)
    with trainer_on(family(kind), lora_experts=experts) as again:
        again.load(tmp_path / "adapter", step=1)
        again.use_adapted("1")
        assert torch.equal(logits(again.model), adapted)


def test_what_is_trained_is_counted_and_said_before_the_first_step():
    with trainer_on(family("qwen3_moe")) as attention, trainer_on(family("qwen3_moe"), lora_experts=True) as experts:
        # Rank 4 on 32 -> 32, 32 -> 16 twice, 32 -> 32, in two layers.
        assert attention.described == {
            "trained_parameters": 2 * 4 * (64 + 48 + 48 + 64),
            "model_parameters": sum(each.numel() for each in family("qwen3_moe").parameters()),
            "adapted": ["k_proj", "o_proj", "q_proj", "v_proj"],
            "experts": False,
            "bytes": 20 * 2 * 4 * (64 + 48 + 48 + 64),
        }
        # And rank 4 on each of 4 experts: 32 -> 48 and 24 -> 32.
        assert experts.described["trained_parameters"] == 2 * 4 * (224 + 4 * (80 + 56))
        assert said_of(attention.described) == (
            "adapter: 1.79 k beside 45.5 k parameters (k_proj, o_proj, q_proj, v_proj), 3.3e-05 GiB with gradient and "
            "optimizer; experts are left as they are (adaptation.lora.experts=true adapts them)"
        )
        assert said_of(experts.described).endswith("optimizer; experts are adapted")


@pytest.mark.parametrize(
    ("kind", "settings", "refusal"),
    [
        ("llama", {"lora_experts": True}, "experts = true, and this model has no experts; leave it out"),
        (
            "gpt_oss",
            {"lora_experts": True, "lora_dropout": 0.1},
            "dropout is not for experts that are one tensor; set dropout = 0",
        ),
        (
            "llama",
            {"lora_parameters": "mlp.experts.up"},
            'parameters = "mlp.experts.up" fits nothing in this model; '
            'set experts = true, or name weights such as "mlp.experts.gate_up_proj"',
        ),
    ],
)
def test_what_a_model_does_not_have_is_refused_in_one_line(kind, settings, refusal):
    with pytest.raises(UsageError) as caught:
        trainer_on(family(kind), **settings)
    assert str(caught.value) == f"--policy=made-up: [adaptation.lora] {refusal}"


def test_names_that_peft_takes_for_experts_are_refused_in_one_line():
    with pytest.raises(UsageError) as caught:
        trainer_on(family("deepseek_v3"), lora_targets="q_a_proj,gate_proj,up_proj")
    assert str(caught.value) == (
        "--policy=made-up: [adaptation.lora] targets: peft takes a name among them for "
        "base_model.model.model.layers.1.mlp.experts; "
        "name layers of attention only, and set experts = true for the experts"
    )


def test_quantised_weights_that_cannot_be_trained_are_refused_in_one_line():
    model = family("gpt_oss")
    model.hf_quantizer = SimpleNamespace(is_trainable=False)
    with pytest.raises(PolicyError) as caught:
        trainer_on(model)
    assert str(caught.value) == (
        "--policy=made-up: its weights are quantised, and no gradient goes through them; "
        'write dtype = "bfloat16" into a policy file'
    )


def test_other_weights_are_adapted_beside_the_experts():
    model = family("gpt_oss")
    experts = targets_of(model, Adaptation(lora=Lora(experts=True))).parameters
    both = targets_of(model, Adaptation(lora=Lora(experts=True, parameters="mlp.router.weight"))).parameters
    assert experts and both == (*experts, "mlp.router.weight")


def test_a_router_is_adapted_where_it_is_asked_for():
    model = family("gpt_oss")
    rows = rows_for(model)
    with trainer_on(model, lora_parameters="mlp.router.weight") as trainer:
        trainer.update(rows, step=1)
        assert any("router" in name for name in trainer.checkpoint({}).adapter)
