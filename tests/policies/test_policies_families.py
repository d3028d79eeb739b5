"""Families of models with caches of many kinds: each samples, and each log-probability is that of a plain pass."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from random_models import FAMILIES, family, llama, save_tokenizer

from pytest_kernelbench.policies.decoding import BatchDecoder, Decoder, shares_prompts
from pytest_kernelbench.policies.hf import HFPolicy
from pytest_kernelbench.policies.rows import sample_rows, uniforms_for
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Sampling

PROMPT = list(range(2, 14))
HOLD_A_STATE = {"qwen3_next", "qwen3_5_text", "lfm2", "falcon_h1"}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    # Two threads for layers of 32 wait for each other.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=list(FAMILIES))
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HFPolicy:
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp(request.param)
    save_tokenizer(folder)
    PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), eos_token="<end>").save_pretrained(folder)
    family(request.param).save_pretrained(folder)
    policy = HFPolicy(folder, name=request.param, device="cpu")
    # A question of bytes has 2,000 tokens, which the slowest family takes 20 s to read.
    policy.prompt_ids = lambda task, answer, *, advice="": PROMPT  # type: ignore[method-assign]
    return policy


def plain(policy: HFPolicy, token_ids: tuple[int, ...], temperature: float = 1.0) -> torch.Tensor:
    """Log-probabilities by one pass over the whole sequence, without a cache."""
    with torch.inference_mode():
        logits = policy.model(input_ids=torch.tensor([[*PROMPT, *token_ids]]), use_cache=False).logits[0]
    logprobs = (logits / temperature).log_softmax(-1)[len(PROMPT) - 1 : -1]
    return logprobs.gather(-1, torch.tensor(token_ids)[:, None]).squeeze(1)


def test_a_family_samples_and_scores_as_a_plain_pass_does(policy: HFPolicy, task: Task, sampling: Sampling) -> None:
    sampling = replace(sampling, max_tokens=10)  # longer than a sliding window with the prompt
    completions = list(policy.sample(task, sampling, seed=0, indices=range(4)))
    assert sorted(done.index for done in completions) == [0, 1, 2, 3]
    rows = [done.token_ids or () for done in completions]
    again = policy.score(task, "module", rows)
    tempered = policy.score(task, "module", rows, temperature=0.7)
    for done, row, scored, at in zip(completions, rows, again, tempered, strict=True):
        assert done.logprobs == pytest.approx(plain(policy, row), abs=1e-4)
        assert done.sampling_logprobs == pytest.approx(plain(policy, row, 0.7), abs=1e-4)
        assert scored == pytest.approx(done.logprobs, abs=1e-4)
        assert at == pytest.approx(done.sampling_logprobs, abs=1e-4)
    (alone,) = policy.sample(task, sampling, seed=0, indices=[3])
    assert alone.text == next(done.text for done in completions if done.index == 3)


def test_a_prompt_is_computed_once_where_the_cache_holds_keys_only(policy: HFPolicy) -> None:
    assert shares_prompts(policy.model) is (policy.name not in HOLD_A_STATE)


def test_a_model_without_a_cache_computes_everything_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model, drawn = llama(), {}
    uniforms = torch.stack([uniforms_for(0, "t", row, 12) for row in range(4)])
    for kind in (Decoder, BatchDecoder):
        monkeypatch.setattr("pytest_kernelbench.policies.rows.decoder_for", kind)
        if kind is BatchDecoder:
            monkeypatch.setattr("pytest_kernelbench.policies.decoding.cache_name", lambda model: "nothing")
        rows = sample_rows(model, PROMPT, uniforms, temperature=1.0, eos_ids={0})
        drawn[kind] = sorted((row.row, row.token_ids) for row in rows)
    assert drawn[Decoder] == drawn[BatchDecoder]
