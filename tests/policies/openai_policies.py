"""Policies behind an OpenAI-compatible server: loaded, sampled, and what they raise."""

from pathlib import Path

import pytest
from openai_stand_in import Reply, StandIn

from pytest_kernelbench.errors import KernelBenchError, PolicyError
from pytest_kernelbench.policies import load_policy
from pytest_kernelbench.policies.openai_server import OpenAIPolicy
from pytest_kernelbench.records import Completion, Task
from pytest_kernelbench.strategy import Sampling


def load(spec: str) -> OpenAIPolicy:
    policy = load_policy(spec, device="cpu")
    assert isinstance(policy, OpenAIPolicy)
    return policy


def load_with(server: StandIn, settings: str, file: Path, model: str = "letters") -> OpenAIPolicy:
    file.write_text(f'policy = "openai:{model}@{server.url}"\n{settings}\n')
    return load(str(file))


def sampled(policy: OpenAIPolicy, task: Task, sampling: Sampling) -> list[Completion]:
    found = policy.sample(task, sampling, seed=0, indices=range(sampling.k))
    return sorted(found, key=lambda done: done.index)


def error_of(kind: type[KernelBenchError], server: StandIn, task: Task, sampling: Sampling) -> str:
    """What sampling one completion raises, the server's address written as URL."""
    faults, server.faults = server.faults, []
    policy = load(f"openai:letters@{server.url}")
    server.faults = faults
    with pytest.raises(kind) as error:
        list(policy.sample(task, sampling, seed=0, indices=[0]))
    assert error.value.__cause__ is None and error.value.__context__ is None
    return str(error.value).replace(server.url, "URL")


def refusal(spec: str) -> str:
    with pytest.raises(PolicyError) as error:
        load(spec)
    assert error.value.__cause__ is None and error.value.__context__ is None
    return str(error.value)


def slowly(server: StandIn) -> Reply:
    """A good answer that takes 0.1 s."""
    request = {"temperature": 1, "seed": 0, "max_tokens": 1, "model": "letters", "logprobs": True}
    return Reply(body=server.answer(request, chat=True), after_s=0.1)
