"""A local causal model samples and scores: log-probabilities, stop tokens, temperatures, batches, random numbers."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_models import VOCABULARY, llama

from pytest_kernelbench.policies.rows import (
    SCORE_CHUNK_BYTES,
    STEPS_BETWEEN_CHECKS,
    batch_rows,
    draw,
    sample_rows,
    score_rows,
    uniforms_for,
)

PROMPT = [5, 9, 200, 31, 7]
END = frozenset({0})


def uniforms(rows: int, tokens: int) -> torch.Tensor:
    return torch.stack([uniforms_for(0, "level1/1_A", row, tokens) for row in range(rows)])


def sampled(model: Any, rows: int = 8, tokens: int = 24, temperature: float = 0.7, ends: Any = END) -> list[Any]:
    drawn = sample_rows(model, PROMPT, uniforms(rows, tokens), temperature=temperature, eos_ids=ends)
    return sorted(drawn, key=lambda done: done.row)


@pytest.fixture(scope="module")
def model() -> Any:
    return llama()


def often_ending(rows: list[Any]) -> frozenset[int]:
    """End tokens that make rows of different lengths: some that were drawn in the middle of rows."""
    return frozenset(done.token_ids[4 + done.row % 7] for done in rows[:4])


@pytest.mark.parametrize("temperature", [0.0, 0.25, 1.0])
def test_rescored_logprobs_equal_the_sampled_ones(model: Any, temperature: float) -> None:
    rows = sampled(model, temperature=temperature, ends=often_ending(sampled(model)))
    for done, scored in zip(rows, score_rows(model, PROMPT, [done.token_ids for done in rows]), strict=True):
        assert scored == pytest.approx(done.logprobs, abs=1e-4)


def test_logprobs_are_those_of_one_plain_forward_pass(model: Any) -> None:
    done = sampled(model, rows=1)[0]
    with torch.inference_mode():
        logits = model(torch.tensor([PROMPT + list(done.token_ids)])).logits[0, len(PROMPT) - 1 : -1].float()
    chosen = torch.tensor(done.token_ids)[:, None]
    assert done.logprobs == pytest.approx(logits.log_softmax(-1).gather(1, chosen)[:, 0].tolist(), abs=1e-4)
    tempered = (logits / 0.7).log_softmax(-1).gather(1, chosen)[:, 0].tolist()
    assert done.sampling_logprobs == pytest.approx(tempered, abs=1e-4)


def test_scoring_in_small_chunks_changes_nothing(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [done.token_ids[: 3 + 2 * done.row] for done in sampled(model)]
    whole = score_rows(model, PROMPT, rows)
    monkeypatch.setitem(SCORE_CHUNK_BYTES, "cpu", 1)
    for scored, expected in zip(score_rows(model, PROMPT, rows), whole, strict=True):
        assert scored == pytest.approx(expected, abs=1e-5)


def test_empty_rows_score_to_nothing(model: Any) -> None:
    assert score_rows(model, PROMPT, []) == []
    assert score_rows(model, PROMPT, [[], []]) == [(), ()]
    assert [len(row) for row in score_rows(model, PROMPT, [[], [4, 5]])] == [0, 2]


def test_rows_that_end_keep_their_end_token_and_leave_the_others_alone(model: Any) -> None:
    free = sampled(model)
    ends = often_ending(free)
    stopped = sampled(model, ends=ends)
    assert len({len(done.token_ids) for done in stopped}) > 2
    for done, unstopped in zip(stopped, free, strict=True):
        length = next((i + 1 for i, token in enumerate(unstopped.token_ids) if token in ends), 24)
        assert done.token_ids == unstopped.token_ids[:length]
        assert done.stop_reason == ("stop" if done.token_ids[-1] in ends else "length")


def test_looking_for_finished_rows_less_often_changes_nothing(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = often_ending(sampled(model))
    at_every_step = sampled(model, ends=ends)
    monkeypatch.setitem(STEPS_BETWEEN_CHECKS, "cpu", 8)
    for done, expected in zip(sampled(model, ends=ends), at_every_step, strict=True):
        assert (done.token_ids, done.stop_reason) == (expected.token_ids, expected.stop_reason)
        assert done.logprobs == pytest.approx(expected.logprobs, abs=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.bfloat16, 0.5)])
def test_gpu_samples_and_rescores_alike(dtype: torch.dtype, tolerance: float) -> None:
    on_gpu = llama().to("cuda", dtype)
    rows = sampled(on_gpu, ends=often_ending(sampled(on_gpu)))
    assert [done.row for done in rows] == list(range(8))
    for done, scored in zip(rows, score_rows(on_gpu, PROMPT, [done.token_ids for done in rows]), strict=True):
        assert scored == pytest.approx(done.logprobs, abs=tolerance)
    assert batch_rows(on_gpu, 100) > 1000


def test_temperature_zero_takes_the_likeliest_token_whatever_is_drawn(model: Any) -> None:
    rows = sampled(model, rows=2, temperature=0.0)
    assert rows[0].token_ids == rows[1].token_ids
    assert set(rows[0].sampling_logprobs) == {0.0}
    with torch.inference_mode():
        logits = model(torch.tensor([PROMPT + list(rows[0].token_ids)])).logits[0, len(PROMPT) - 1 : -1]
    assert logits.argmax(-1).tolist() == list(rows[0].token_ids)


def test_temperature_one_needs_no_second_logprobs(model: Any) -> None:
    assert sampled(model, rows=1, temperature=1.0)[0].sampling_logprobs is None


def test_shorter_limit_gives_the_beginning_of_a_longer_one(model: Any) -> None:
    short, long = sampled(model, tokens=6)[3], sampled(model, tokens=24)[3]
    assert long.token_ids[:6] == short.token_ids and short.stop_reason == "length"


def test_draws_follow_the_tempered_distribution() -> None:
    logits = torch.tensor([2.0, -math.inf, 0.5, 0.0])
    even = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    drawn, raw, tempered, _ = draw(logits.expand(4000, -1), even, 0.5)
    shares = torch.bincount(drawn, minlength=4) / 4000
    expected = (logits / 0.5).softmax(-1)
    assert shares.tolist() == pytest.approx(expected.tolist(), abs=1e-3)
    assert torch.allclose(tempered, expected.log()[drawn]) and torch.allclose(raw, logits.log_softmax(-1)[drawn])


@given(
    st.lists(st.floats(-80, 80), min_size=2, max_size=9),
    st.sampled_from([0.0, 0.5, 1 - 2**-53]),
    st.booleans(),
)
def test_token_of_probability_zero_is_never_drawn(values: list[float], uniform: float, first: bool) -> None:
    impossible = 0 if first else len(values) - 1
    logits = torch.tensor([values])
    logits[0, impossible] = -math.inf
    drawn, raw, *_ = draw(logits, torch.tensor([uniform], dtype=torch.float64), 1.0)
    assert drawn.item() != impossible and math.isfinite(raw.item())


def test_random_numbers_of_a_completion_depend_on_seed_task_and_index_only() -> None:
    base = uniforms_for(0, "level1/1_A", 3, 8)
    assert torch.equal(base, uniforms_for(0, "level1/1_A", 3, 30)[:8])
    for other in ((1, "level1/1_A", 3), (0, "level1/2_A", 3), (0, "level1/1_A", 4)):
        assert not torch.equal(base, uniforms_for(*other, 8))
    state = torch.get_rng_state()
    uniforms_for(0, "level1/1_A", 3, 8)
    assert torch.equal(state, torch.get_rng_state())


def test_batch_is_as_large_as_keys_values_and_logits_allow(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = 2 * 2 * 2 * 8 * 100 * 4 + VOCABULARY * 32
    monkeypatch.setattr("pytest_kernelbench.policies.rows.CPU_BATCH_BYTES", 3 * row)
    assert batch_rows(model, 100) == 3
    monkeypatch.setattr("pytest_kernelbench.policies.rows.CPU_BATCH_BYTES", 1)
    assert batch_rows(model, 100) == 1


def test_sliding_windows_and_experts_are_sampled_and_rescored_alike() -> None:
    from transformers import GptOssConfig, GptOssForCausalLM

    torch.manual_seed(0)
    gpt_oss = GptOssForCausalLM(
        GptOssConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            num_local_experts=4,
            num_experts_per_tok=2,
            sliding_window=6,
            eos_token_id=0,
            pad_token_id=None,
        )
    ).eval()
    with torch.no_grad():
        for parameter in gpt_oss.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    prompt = [5, 9, 63, 31, 7]
    drawn = list(sample_rows(gpt_oss, prompt, uniforms(5, 20), temperature=1.0, eos_ids={0, 3, 11}))
    assert sorted(done.row for done in drawn) == list(range(5))
    for done, scored in zip(drawn, score_rows(gpt_oss, prompt, [row.token_ids for row in drawn]), strict=True):
        assert scored == pytest.approx(done.logprobs, abs=1e-4)


def test_consumer_of_the_samples_is_not_left_in_inference_mode(model: Any) -> None:
    rows = sample_rows(model, PROMPT, uniforms(2, 4), temperature=1.0, eos_ids=END)
    next(rows)
    assert not torch.is_inference_mode_enabled()
