"""Log-probabilities of a server: which tokens are code, and whether they are raw or scaled by the temperature."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from contract import keeps_the_contract
from openai_policies import load, load_with, refusal, sampled
from openai_stand_in import Reply, logprobs_at

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies import require_logprobs
from pytest_kernelbench.records import Task
from pytest_kernelbench.strategy import Sampling

pytestmark = pytest.mark.usefixtures("key")


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_the_code_of_an_answer_is_known_by_its_tokens(
    endpoint: str, stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    server = stand_in()
    policy = load_with(server, f'endpoint = "{endpoint}"', tmp_path / "policy.toml")
    done, *_ = sampled(policy, task, replace(sampling, answer="forward_body"))
    assert done.code_tokens == (0, len(done.text)) and done.logprobs is not None
    done, *_ = sampled(policy, task, sampling)
    assert done.code_tokens is None  # four letters hold no ModelNew


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@pytest.mark.parametrize("temperature", [0.25, 1.0])
def test_raw_logprobs_are_told_from_scaled_ones(
    endpoint: str, temperature: float, stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling
) -> None:
    sampling = replace(sampling, temperature=temperature)
    raw = load_with(stand_in(), f'endpoint = "{endpoint}"', tmp_path / "raw.toml")
    scaled = load_with(stand_in(scaled=True), f'endpoint = "{endpoint}"', tmp_path / "scaled.toml")
    assert (raw.logprobs, scaled.logprobs) == ("raw", "scaled")
    for done in keeps_the_contract(raw, task, sampling):
        assert done.logprobs == tuple(logprobs_at(1)[token] for token in done.text)
        assert done.sampling_logprobs is None
    for done in keeps_the_contract(scaled, task, sampling):
        assert done.logprobs is None
        assert done.sampling_logprobs == tuple(logprobs_at(temperature)[token] for token in done.text)


def test_scaled_logprobs_are_refused_where_surprisal_is_needed(stand_in: Any) -> None:
    server = stand_in(scaled=True)
    policy = load(f"openai:letters@{server.url}")
    with pytest.raises(PolicyError) as error:
        require_logprobs(policy, "surprisal")
    assert str(error.value) == (
        f"--policy=openai:letters@{server.url}: gives log-probabilities of the temperature sampled at and not of "
        'temperature 1 (docs/policies.md), which strategy "surprisal" needs; choose another policy, or a strategy '
        "that needs none (random, best-of-64)"
    )


def test_server_without_logprobs_serves_strategies_that_need_none(
    stand_in: Any, task: Task, sampling: Sampling
) -> None:
    server = stand_in(gives_logprobs=False)
    policy = load(f"openai:letters@{server.url}")
    assert all(done.logprobs is None for done in keeps_the_contract(policy, task, sampling))
    with pytest.raises(PolicyError, match='gives no logprobs, which strategy "surprisal" needs'):
        require_logprobs(policy, "surprisal")


def test_server_that_refuses_the_question_for_logprobs_is_asked_without(
    stand_in: Any, task: Task, sampling: Sampling
) -> None:
    server = stand_in(faults=[Reply(422, {"detail": "Unsupported fields in the request: {'logprobs'}"})])
    policy = load(f"openai:letters@{server.url}")
    assert policy.logprobs == "none"
    assert len(sampled(policy, task, sampling)) == sampling.k
    assert all("logprobs" not in request for request in server.requests[1:])


def test_policy_file_overrides_the_measurement(stand_in: Any, tmp_path: Path, task: Task, sampling: Sampling) -> None:
    server = stand_in()
    policy = load_with(server, 'logprobs = "scaled"', tmp_path / "p.toml")
    assert len(server.requests) == 1 and not policy.gives_logprobs
    assert all(done.sampling_logprobs for done in sampled(policy, task, sampling))


def test_logprobs_that_a_policy_file_promises_must_come(stand_in: Any, tmp_path: Path) -> None:
    server, file = stand_in(gives_logprobs=False), tmp_path / "p.toml"
    with pytest.raises(PolicyError) as error:
        load_with(server, 'logprobs = "raw"', file)
    assert str(error.value) == (
        f'--policy={file}: {server.url}: gives no logprobs, and the policy file says logprobs = "raw"; '
        "remove the line, or make the server return them"
    )


def test_logprobs_without_alternatives_cannot_be_measured(stand_in: Any) -> None:
    def without_alternatives(answer: dict[str, Any]) -> None:
        for entry in answer["choices"][0]["logprobs"]["content"]:
            entry["top_logprobs"] = []

    server = stand_in(change=without_alternatives)
    spec = f"openai:letters@{server.url}"
    assert refusal(spec) == (
        f"--policy={spec}: cannot tell whether its logprobs are those of temperature 1; "
        'say logprobs = "raw" or "scaled" in a policy file (docs/policies.md)'
    )
