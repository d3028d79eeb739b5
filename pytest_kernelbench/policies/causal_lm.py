"""A policy with its weights in this process: it samples and scores completions of a causal language model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_kernelbench.errors import HarnessError, PolicyError
from pytest_kernelbench.policies.decoding import Model, shares_prompts
from pytest_kernelbench.policies.reading import read_tokens
from pytest_kernelbench.policies.rows import (
    Sampled,
    batch_rows,
    distributions,
    end_ids,
    rows_of,
    sample_rows,
    score_rows,
    uniforms_for,
    whole_rows,
)
from pytest_kernelbench.prompting.reasoning import opens_reasoning
from pytest_kernelbench.records import Completion, Task, sha256_of

if TYPE_CHECKING:
    from pytest_kernelbench.strategy import Sampling

__all__ = ["CausalLMPolicy", "batch_rows", "distributions", "end_ids", "sample_rows", "score_rows", "uniforms_for"]

# The last tokens of a prompt that are searched for a mark that opens the reasoning. The longest mark is shorter.
LONGEST_TAG = 24


class CausalLMPolicy(ABC):
    """Samples and scores with ``model``; a subclass says how a task becomes a prompt and tokens become text.

    ``max_tokens``, where the policy sets it, replaces the strategy's. ``model`` may be replaced or trained between
    calls; a caller that changes its weights sets ``version`` too. ``sample`` and ``score`` put the model into
    evaluation mode and leave it there.
    """

    name: str
    version: str
    label: str | None = None
    gives_logprobs = True
    gives_self_certainty = True
    max_tokens: int | None = None
    trained_by: str | None = "peft"
    model: Model
    eos_ids: frozenset[int]

    @abstractmethod
    def prompt_ids(self, task: Task, answer: str, *, advice: str = "") -> list[int]:
        """Token ids of the prompt that asks for ``answer`` ("module" or "forward_body"); raises PolicyError.

        ``advice`` is text that a teacher gets to read after the question.
        """

    @abstractmethod
    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of sampled tokens. They do not include the end token."""

    def spell(self, token_ids: Sequence[int]) -> str:
        """As ``decode``, but special tokens are spelled out: some models mark their reasoning with them."""
        return self.decode(token_ids)

    def sample(
        self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int], advice: str = ""
    ) -> Iterator[Completion]:
        """See ``Policy.sample``. Raises HarnessError where the model's log-probabilities are not finite."""
        prompt = self.prompt_ids(task, sampling.asked, advice=advice)
        opened = opens_reasoning(self.spell(prompt[-LONGEST_TAG:]))
        asked = sha256_of(self.spell(prompt))
        tokens = self._room(prompt, self.max_tokens or sampling.max_tokens, task)
        self.model.eval()
        rows_at_once = self.rows_at_once(len(prompt) + tokens)
        for start in range(0, len(indices), rows_at_once):
            batch = indices[start : start + rows_at_once]
            uniforms = torch.stack([uniforms_for(seed, task.id, index, tokens) for index in batch])
            for done in sample_rows(
                self.model, prompt, uniforms, temperature=sampling.temperature, eos_ids=self.eos_ids
            ):
                completion = self._completion(done, task, batch[done.row], opened, sampling.answer)
                yield replace(completion, seed=seed, prompt_sha256=asked, prompt_tokens=len(prompt))

    def score(
        self,
        task: Task,
        answer: str,
        token_ids: Sequence[Sequence[int]],
        *,
        temperature: float = 1.0,
        advice: str = "",
    ) -> list[tuple[float, ...]]:
        """Log-probabilities (nats) at ``temperature`` of each completion's tokens after the prompt of ``task``.

        Equal completions are computed once: at a low temperature many of them are equal.
        """
        found: dict[tuple[int, ...], tuple[float, ...]] = {}
        for prompt, batch in self._distinct(task, answer, token_ids, advice):
            found |= zip(batch, score_rows(self.model, prompt, batch, temperature=temperature), strict=True)
        return [found[tuple(row)] for row in token_ids]

    def likeliest(
        self, task: Task, answer: str, token_ids: Sequence[Sequence[int]], k: int, *, temperature: float = 1.0
    ) -> list[Tensor]:
        """The ``k`` likeliest tokens in the place of each of a completion's: (tokens, k) ids, on the CPU."""
        found: dict[tuple[int, ...], Tensor] = {}
        for prompt, batch in self._distinct(task, answer, token_ids, ""):
            places = [each.topk(min(k, each.shape[-1])).indices for each in distributions(self.model, prompt, batch)]
            found |= zip(batch, rows_of(places, batch), strict=True)
        return [found[tuple(row)] for row in token_ids]

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
        """Log-probabilities of ``wanted`` tokens, (tokens, k) ids for each completion, in the place of its own."""
        places = dict(zip(map(tuple, token_ids), wanted, strict=True))
        found: dict[tuple[int, ...], Tensor] = {}
        for prompt, batch in self._distinct(task, answer, token_ids, advice):
            ids = torch.nn.utils.rnn.pad_sequence([places[row] for row in batch], batch_first=True)
            start, scores = 0, []
            for each in distributions(self.model, prompt, batch, temperature=temperature):
                end = start + each.shape[1]
                scores.append(each.gather(-1, ids[:, start:end].to(each.device)))
                start = end
            found |= zip(batch, rows_of(scores, batch), strict=True)
        return [found[tuple(row)] for row in token_ids]

    def _distinct(
        self, task: Task, answer: str, token_ids: Sequence[Sequence[int]], advice: str
    ) -> Iterator[tuple[list[int], list[tuple[int, ...]]]]:
        """The prompt's ids, and batches of distinct completions that have a token, as large as memory allows."""
        prompt = self.prompt_ids(task, answer, advice=advice)
        self.model.eval()
        distinct = list(dict.fromkeys(map(tuple, token_ids)))
        longest = max(map(len, distinct), default=0)
        rows_at_once = self.rows_at_once(len(prompt) + longest)
        if not shares_prompts(self.model):
            rows_at_once = min(rows_at_once, whole_rows(self.model, longest))
        for start in range(0, len(distinct), rows_at_once):
            yield prompt, distinct[start : start + rows_at_once]

    def rows_at_once(self, tokens: int) -> int:
        """How many rows of ``tokens`` tokens, prompt included, are computed together."""
        return batch_rows(self.model, tokens)

    def tokens_left(self, task: Task, answer: str, advice: str) -> int | None:
        """How many tokens an answer to this prompt may have; None if the model's context is unlimited."""
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return None if context is None else context - len(self.prompt_ids(task, answer, advice=advice))

    def _room(self, prompt: Sequence[int], max_tokens: int, task: Task) -> int:
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        room = max_tokens if context is None else min(max_tokens, context - len(prompt))
        if room < 1:
            raise PolicyError(
                f"--policy={self.name}: the prompt of {task.short_id} has {len(prompt)} tokens and the model's "
                f"context {context}; choose a model with a longer context"
            )
        return room

    def _completion(self, done: Sampled, task: Task, index: int, opened: bool, answer: str) -> Completion:
        # Each probability is a sum of finite terms unless the weights or the precision are broken.
        if not all(map(_finite, done.logprobs)):
            raise HarnessError(
                f"--policy={self.name}: a log-probability for {task.short_id} #{index} is not finite; "
                "the weights are damaged or the precision too low, try dtype float32"
            )
        read = read_tokens(
            done.token_ids, done.stop_reason, decode=self.decode, spell=self.spell, opened=opened, answer=answer
        )
        return Completion(
            task=task.id,
            index=index,
            text=read.text,
            reasoning=read.reasoning,
            cut_off=read.cut_off,
            policy=self.name,
            policy_version=self.version,
            token_ids=done.token_ids,
            logprobs=done.logprobs,
            sampling_logprobs=done.sampling_logprobs,
            self_certainty=done.self_certainty,
            stop_reason=done.stop_reason,
            answer_tokens=read.answer_tokens,
            code_tokens=read.code_tokens,
        )


def _finite(value: float) -> bool:
    return value - value == 0.0
