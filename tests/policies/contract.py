"""What every policy promises, as one check that each policy's tests call."""

import math
from collections.abc import Sequence

import torch

from pytest_kernelbench.policies import Policy
from pytest_kernelbench.records import Completion, Task
from pytest_kernelbench.strategy import Sampling


def texts(policy: Policy, task: Task, sampling: Sampling, indices: Sequence[int], seed: int = 0) -> dict[int, str]:
    return {done.index: done.text for done in policy.sample(task, sampling, seed=seed, indices=indices)}


def keeps_the_contract(policy: Policy, task: Task, sampling: Sampling) -> list[Completion]:
    """Assert it for a policy that has completions 0..k-1 of ``task``; returns them by index."""
    assert policy.name and policy.version
    assert policy.label is None or "\n" not in policy.label
    everything = range(sampling.k)
    _holds_no_mode_of_torch(policy, task, sampling)
    completions = sorted(policy.sample(task, sampling, seed=0, indices=everything), key=lambda done: done.index)
    assert [done.index for done in completions] == list(everything)
    for done in completions:
        assert (done.task, done.policy, done.policy_version) == (task.id, policy.name, policy.version)
        _has_sound_logprobs(done, policy)
    by_index = {done.index: done.text for done in completions}
    # A run that was killed goes on with what is missing, in any order and batch.
    assert texts(policy, task, sampling, everything) == by_index
    assert texts(policy, task, sampling, [sampling.k - 1, 1]) == {i: by_index[i] for i in (sampling.k - 1, 1)}
    assert texts(policy, task, sampling, []) == {}
    return completions


def _holds_no_mode_of_torch(policy: Policy, task: Task, sampling: Sampling) -> None:
    """Whoever takes a completion may train before the next one, or never ask for it."""
    rows = iter(policy.sample(task, sampling, seed=0, indices=range(sampling.k)))
    next(rows)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    del rows
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def _has_sound_logprobs(done: Completion, policy: Policy) -> None:
    if policy.gives_logprobs:
        assert done.mean_logprob is not None
    if done.logprobs is not None:
        assert all(math.isfinite(value) and value <= 1e-6 for value in done.logprobs)
        assert done.token_ids is None or len(done.token_ids) == len(done.logprobs)
    if done.sampling_logprobs is not None:
        assert all(math.isfinite(value) and value <= 1e-6 for value in done.sampling_logprobs)
        assert done.logprobs is None or len(done.sampling_logprobs) == len(done.logprobs)
