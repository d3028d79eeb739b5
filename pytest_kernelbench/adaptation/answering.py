"""A trainer is also a policy: it samples and scores with the policy that it trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_kernelbench.records import Completion, Task

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_kernelbench.policies.causal_lm import CausalLMPolicy
    from pytest_kernelbench.strategy import Sampling


class Answering:
    """The part of ``Trainer`` that is a policy: every call goes to ``policy``, with the weights that are in use."""

    gives_logprobs = True

    def __init__(self, policy: CausalLMPolicy) -> None:
        self.policy = policy
        self.label = policy.label

    @property
    def name(self) -> str:
        return self.policy.name

    @property
    def version(self) -> str:
        return self.policy.version

    def sample(self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int]) -> Iterator[Completion]:
        return self.policy.sample(task, sampling, seed=seed, indices=indices)

    def prompt_ids(self, task: Task, answer: str, *, advice: str = "") -> list[int]:
        return self.policy.prompt_ids(task, answer, advice=advice)

    def score(
        self,
        task: Task,
        answer: str,
        token_ids: Sequence[Sequence[int]],
        *,
        temperature: float = 1.0,
        advice: str = "",
    ) -> list[tuple[float, ...]]:
        return self.policy.score(task, answer, token_ids, temperature=temperature, advice=advice)

    def likeliest(self, task: Task, answer: str, token_ids: Sequence[Sequence[int]], k: int) -> list[Tensor]:
        return self.policy.likeliest(task, answer, token_ids, k)

    def score_each(
        self,
        task: Task,
        answer: str,
        token_ids: Sequence[Sequence[int]],
        wanted: Sequence[Tensor],
        *,
        temperature: float = 1.0,
        advice: str = "",
    ) -> list[Tensor]:
        return self.policy.score_each(task, answer, token_ids, wanted, temperature=temperature, advice=advice)
