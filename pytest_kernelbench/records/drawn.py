"""A task, a policy's answer to it, and the candidate in the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pytest_kernelbench.records.rows import fields_of, sha256_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One KernelBench problem, as text. A process that holds a Task parses the text and never imports it.

    ``id``: as in ``level1/12_Matmul_with_diagonal_matrices_``. ``source``: the text of the file. ``sizes``: values of
    module-level constants by name, from ``small.toml``, set when the task is instantiated; empty for full size.
    """

    id: str
    source: str
    path: Path | None = None
    sizes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Hash of the text and the sizes that it is instantiated with."""
        return sha256_of(f"{self.source}\0{sorted(self.sizes.items())}")

    @property
    def level(self) -> str:
        """``level1``."""
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        """``12_Matmul_with_diagonal_matrices_``."""
        return self.id.partition("/")[2]

    @property
    def short_id(self) -> str:
        """``level1/12``, or the whole id where the name carries no number."""
        number, _, _ = self.name.partition("_")
        return f"{self.level}/{number}" if number.isdigit() else self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A policy's answer to a task: one line of ``completions.jsonl``.

    ``text``: the answer. ``reasoning``: the text of the model's reasoning before the answer; None if there was none, ""
    if the server does not show it. ``cut_off``: whether the tokens ran out before the answer ended, or before it began.
    ``answer_part``: the part of ``text`` that was taken as code ("block 2 of 3").

    ``logprobs``: log-probabilities in nats of ``token_ids`` (end token included) at temperature 1 without truncation,
    under the policy version that sampled them. ``sampling_logprobs``: the same under the distribution that the tokens
    were drawn from, if it differs. A replayed completion may have only ``sum_logprob`` and ``n_tokens``.
    ``logprobs_missing``: why there are no log-probabilities. ``answer_tokens``, ``code_tokens``: the first token of the
    answer (without reasoning) or of the code, and the token after the last, as indices into ``logprobs``.

    ``prompt_sha256``: hash of the prompt (the messages, if a server was asked; the text, if a model in this process).
    ``prompt_tokens``: number of tokens of the prompt. ``self_certainty``: the Kullback-Leibler divergence KL(uniform ||
    policy) of the next token's distribution at temperature 1, in nats, mean over all sampled tokens; of a server's
    completion over its likeliest tokens only (docs/policies.md). ``seconds``: wall time of sampling; rows that are
    drawn together share it.
    """

    task: str
    index: int
    text: str
    policy: str
    policy_version: str = "0"
    seed: int | None = None
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    sampling_logprobs: tuple[float, ...] | None = None
    stop_reason: str | None = None
    sum_logprob: float | None = None
    n_tokens: int | None = None
    answer_tokens: tuple[int, int] | None = None
    code_tokens: tuple[int, int] | None = None
    seconds: float | None = None
    reasoning: str | None = None
    answer_part: str | None = None
    cut_off: bool | None = None
    prompt_sha256: str | None = None
    prompt_tokens: int | None = None
    logprobs_missing: str | None = None
    self_certainty: float | None = None

    def __post_init__(self) -> None:
        if self.logprobs is not None:
            object.__setattr__(self, "sum_logprob", float(sum(self.logprobs)))
            object.__setattr__(self, "n_tokens", len(self.logprobs))

    @property
    def mean_logprob(self) -> float | None:
        """Nats a token, or None where log-probabilities or the number of tokens are not known."""
        if self.sum_logprob is None or not self.n_tokens:
            return None
        return self.sum_logprob / self.n_tokens

    def summed(self, span: str) -> tuple[float, int] | None:
        """Sum of log-probabilities and number of tokens of a ``span``; None where they are not known, or it is empty.

        ``all``: reasoning, answer and whatever is between them. ``answer``: without the reasoning, end token included.
        ``code``: the part that became the candidate.
        """
        whole = self.sum_logprob is not None and bool(self.n_tokens)
        if span == "all":
            hidden = self.reasoning is not None and self.answer_tokens is not None and self.answer_tokens[0] == 0
            return (float(self.sum_logprob or 0), self.n_tokens or 0) if whole and not hidden else None
        tokens = self.answer_tokens if span == "answer" else self.code_tokens
        if tokens is None or self.logprobs is None:
            return self.summed("all") if span == "answer" and self.reasoning is None else None
        of_span = self.logprobs[slice(*tokens)]
        return (float(sum(of_span)), len(of_span)) if of_span else None

    def score(self, span: str, kind: str) -> float | None:
        """Log-probability of a span: the ``sum`` in nats, or the ``mean`` in nats a token; None where not known."""
        found = self.summed(span)
        if found is None:
            return None
        return found[0] if kind == "sum" else found[0] / found[1]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Completion:
        return cls(**fields_of(cls, row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A completion and the Python module extracted from it.

    ``source``: the module's text; None if the completion has none, and ``missing`` says why ("defines no ModelNew").
    """

    completion: Completion
    source: str | None
    missing: str | None = None

    @property
    def task(self) -> str:
        return self.completion.task

    @property
    def index(self) -> int:
        return self.completion.index
