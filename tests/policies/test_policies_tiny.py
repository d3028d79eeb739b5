"""The ``tiny`` policy: its samples and scores, the version of its weights, and weights or prompts that it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from contract import keeps_the_contract, texts

from pytest_kernelbench.errors import HarnessError, PolicyError
from pytest_kernelbench.policies.tiny import TinyPolicy
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Sampling


@pytest.fixture
def tiny(tiny_folder: Path) -> TinyPolicy:
    return TinyPolicy(tiny_folder, name="tiny")


def test_tiny_keeps_the_contract(tiny: TinyPolicy, task: Task, sampling: Sampling) -> None:
    completions = keeps_the_contract(tiny, task, sampling)
    assert len({done.text for done in completions}) == sampling.k
    assert texts(tiny, task, sampling, [0], seed=1)[0] != completions[0].text


def test_batches_of_two_give_the_texts_of_one_batch(
    tiny: TinyPolicy, task: Task, sampling: Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = texts(tiny, task, sampling, range(5))
    monkeypatch.setattr("pytest_kernelbench.policies.causal_lm.batch_rows", lambda model, tokens: 2)
    assert texts(tiny, task, sampling, range(5)) == together


def test_scores_of_the_policy_are_its_logprobs(tiny: TinyPolicy, task: Task, sampling: Sampling) -> None:
    completions = list(tiny.sample(task, sampling, seed=0, indices=range(4)))
    scores = tiny.score(task, "module", [done.token_ids or () for done in completions])
    for done, scored in zip(completions, scores, strict=True):
        assert scored == pytest.approx(done.logprobs, abs=1e-4)


def test_tiny_says_what_it_is(tiny: TinyPolicy) -> None:
    assert tiny.label == (
        "tiny is trained on this project's own solutions of these very tasks: its scores test the plumbing "
        "and say nothing about any other model"
    )


def test_weights_are_used_in_float32_and_named_by_their_contents(tiny: TinyPolicy, tiny_folder: Path) -> None:
    assert tiny.model.dtype is torch.float32
    assert tiny.version == TinyPolicy(tiny_folder, name="other").version
    assert len(tiny.version) == 12


def test_end_token_is_no_part_of_the_text(tiny: TinyPolicy, task: Task, sampling: Sampling) -> None:
    free = next(tiny.sample(task, sampling, seed=0, indices=[0]))
    assert free.token_ids is not None
    end = free.token_ids[5]
    tiny.eos_ids = frozenset({end})
    stopped = next(tiny.sample(task, sampling, seed=0, indices=[0]))
    assert stopped.stop_reason == "stop" and stopped.token_ids is not None and stopped.token_ids[-1] == end
    assert stopped.text == tiny.decode(stopped.token_ids[:-1])


def test_tiny_refuses_to_write_bodies(tiny: TinyPolicy, task: Task, sampling: Sampling) -> None:
    with pytest.raises(PolicyError) as error:
        list(tiny.sample(task, replace(sampling, answer="forward_body"), seed=0, indices=[0]))
    assert str(error.value) == (
        '--policy=tiny: writes whole modules only, and the strategy asks for "forward_body"; '
        'set answer = "module" in [sampling], or choose another policy'
    )


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as error:
        TinyPolicy(tmp_path, name="tiny")
    assert str(error.value) == f"--policy=tiny: no config.json in {tmp_path}; install pytest-kernelbench again"


def test_prompt_longer_than_the_context_is_refused(tiny: TinyPolicy, task: Task, sampling: Sampling) -> None:
    length = len(tiny.prompt_ids(task, "module"))
    tiny.model.config.max_position_embeddings = length + 2
    assert all(len(done.token_ids or ()) <= 2 for done in tiny.sample(task, sampling, seed=0, indices=range(3)))
    tiny.model.config.max_position_embeddings = length
    with pytest.raises(PolicyError) as error:
        list(tiny.sample(task, sampling, seed=0, indices=[0]))
    assert str(error.value) == (
        f"--policy=tiny: the prompt of level1/19 has {length} tokens and the model's context {length}; "
        "choose a model with a longer context"
    )


def test_damaged_weights_are_the_harness_fault(tiny: TinyPolicy, task: Task, sampling: Sampling) -> None:
    with torch.no_grad():
        tiny.model.model.norm.weight[0] = float("nan")
    with pytest.raises(HarnessError) as error:
        list(tiny.sample(task, sampling, seed=0, indices=[0]))
    assert str(error.value) == (
        "--policy=tiny: a log-probability for level1/19 #0 is not finite; "
        "the weights are damaged or the precision too low, try dtype float32"
    )
