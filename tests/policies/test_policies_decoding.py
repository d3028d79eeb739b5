"""Steps of fixed shape, as CUDA graphs repeat them, beside the model's own; on a GPU, the graphs."""

from typing import Any

import pytest
import torch
from random_models import llama

from pytest_kernelbench.policies import decoding
from pytest_kernelbench.policies.causal_lm import sample_rows, score_rows, uniforms_for
from pytest_kernelbench.policies.decoding import (
    BranchingDecoder,
    Decoder,
    GraphDecoder,
    decoder_for,
    serves_for_graphs,
)

# peft asks a newer transformers for an attribute by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
PROMPT = [5, 9, 200, 31, 7]
TOKENS = 24


def adapted(model: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.3)
    return model.eval()


def of_kind(kind: str, **changes: Any) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    keys = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    shape = {key: llama().config.to_dict()[key] for key in (*keys, "intermediate_size")}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**shape, "head_dim": 8, "pad_token_id": None, "eos_token_id": 0, **changes})
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    return model


MODELS = {
    "llama": llama,
    "llama with an adapter": lambda: adapted(llama()),
    "mistral": lambda: of_kind("mistral", sliding_window=None),
    "qwen2": lambda: of_kind("qwen2"),
    "qwen3": lambda: of_kind("qwen3"),
}


def sampled(model: Any, ends: frozenset[int] = frozenset({0}), temperature: float = 0.7) -> list[Any]:
    uniforms = torch.stack([uniforms_for(0, "level1/1_A", row, TOKENS) for row in range(8)])
    drawn = sample_rows(model, PROMPT, uniforms, temperature=temperature, eos_ids=ends)
    return sorted(drawn, key=lambda done: done.row)


@pytest.mark.parametrize("name", MODELS)
def test_steps_of_fixed_shape_draw_what_the_model_s_own_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS[name]()
    assert not serves_for_graphs(model)
    free = sampled(model)
    ends = frozenset(done.token_ids[4 + done.row % 7] for done in free[:6])
    own = sampled(model, ends)
    monkeypatch.setattr(decoding, "GRAPH_DEVICES", frozenset({"cpu"}))
    monkeypatch.setattr(decoding, "GRAPH_TOKENS", 8)
    assert serves_for_graphs(model)
    fixed = sampled(model, ends)
    assert len({len(done.token_ids) for done in fixed}) > 2
    for done, expected in zip(fixed, own, strict=True):
        assert (done.token_ids, done.stop_reason) == (expected.token_ids, expected.stop_reason)
        assert done.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
    assert decoding.bare(model).config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("mistral", {"sliding_window": 6}),
        ("qwen3_moe", {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}),
        ("gpt_oss", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 6}),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}}),
    ],
)
def test_models_whose_steps_differ_or_wait_are_called_step_by_step(
    kind: str, changes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "GRAPH_DEVICES", frozenset({"cpu"}))
    model = of_kind(kind, **changes)
    assert not serves_for_graphs(model)
    with torch.inference_mode():
        assert type(decoder_for(model, PROMPT, rows=2, room=4)) is BranchingDecoder


def test_a_cache_with_room_copies_the_prompt_into_every_row_and_keeps_what_is_asked_for() -> None:
    model = llama()
    with torch.inference_mode():
        decoder = Decoder(model, PROMPT, rows=3, room=4)
        first = decoder.step(torch.tensor([[1], [2], [3]]))
        decoder.keep(torch.tensor([0, 2]))
        kept = decoder.step(torch.tensor([[4], [5]]))
        whole = model(torch.tensor([[*PROMPT, 1, 4], [*PROMPT, 3, 5]])).logits
    assert torch.allclose(first[[0, 2], 0], whole[:, -2], atol=1e-4)
    assert torch.allclose(kept[:, 0], whole[:, -1], atol=1e-4)


def test_rows_with_the_same_tokens_are_computed_once_until_they_part() -> None:
    model, computed = llama(), []
    model.register_forward_pre_hook(
        lambda _, args, kwargs: computed.append(kwargs["input_ids"].tolist()), with_kwargs=True
    )
    with torch.inference_mode():
        decoder = BranchingDecoder(model, PROMPT, rows=5, room=4)
        steps = [[1, 1, 2, 1, 2], [3, 4, 3, 3, 3]]
        logits = [decoder.step(torch.tensor(step)[:, None]) for step in steps]
        decoder.keep(torch.tensor([1, 2, 4]))  # of the rows 1 4, 2 3 and 2 3
        logits.append(decoder.step(torch.tensor([[5], [6], [7]])))
        assert computed == [[PROMPT], [[1], [2]], [[3], [3], [4]], [[7], [6], [5]]]
        whole = model(input_ids=torch.tensor([[*PROMPT, 1, 4, 5], [*PROMPT, 2, 3, 6], [*PROMPT, 2, 3, 7]])).logits
    assert torch.allclose(logits[1][[1, 2, 4], 0], whole[:, -2], atol=1e-4)
    assert torch.allclose(logits[2][:, 0], whole[:, -1], atol=1e-4)


@pytest.mark.parametrize("kind", ["mistral", "llama"])
@pytest.mark.parametrize("temperature", [0.0, 0.2, 1.0])
def test_rows_that_branch_draw_what_rows_that_are_computed_one_by_one_do(
    kind: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = of_kind("mistral", sliding_window=6) if kind == "mistral" else llama()
    branching = sampled(model, frozenset({0, 9}), temperature)
    monkeypatch.setattr("pytest_kernelbench.policies.rows.decoder_for", Decoder)
    for done, expected in zip(branching, sampled(model, frozenset({0, 9}), temperature), strict=True):
        assert (done.token_ids, done.stop_reason) == (expected.token_ids, expected.stop_reason)
        assert done.logprobs == pytest.approx(expected.logprobs, abs=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.bfloat16, 0.5)])
def test_graphs_draw_what_is_scored(
    name: str, dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "GRAPH_TOKENS", 8)
    model = MODELS[name]().to("cuda", dtype)
    with torch.inference_mode():
        assert type(decoder_for(model, PROMPT, rows=2, room=4)) is GraphDecoder
    free = sampled(model)
    rows = sampled(model, frozenset(done.token_ids[4 + done.row % 7] for done in free[:6]))
    assert [done.row for done in rows] == list(range(8))
    for done, scored in zip(rows, score_rows(model, PROMPT, [done.token_ids for done in rows]), strict=True):
        assert scored == pytest.approx(done.logprobs, abs=tolerance)
