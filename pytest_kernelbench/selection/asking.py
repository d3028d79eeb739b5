"""Asking the policy which of its correct programs is the fastest: one more answer, with the programs in its prompt."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from pytest_kernelbench.prompting.forecast import FORECAST, MOST_SHOWN, forecast_in, forecast_question
from pytest_kernelbench.records import Completion, Forecast, Judged, Task, sha256_of
from pytest_kernelbench.selection.base import logprob_of
from pytest_kernelbench.strategy import Sampling, SelectionSettings, Strategy

# An index that no candidate has, so that neither random numbers nor a replayed answer are a candidate's.
INDEX = -1
# Less is no room for a number and the words around it.
LEAST_TOKENS = 32


class Answering(Protocol):
    """The part of a policy that is used. ``tokens_left``, if present, returns how many tokens a prompt leaves."""

    def sample(
        self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int], advice: str = ""
    ) -> Iterator[Completion]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """``shown`` are the candidates in ``text``, in the order of their numbers; fewer than two: nothing to ask."""

    task: Task
    sampling: Sampling
    sampling_sha256: str
    shown: tuple[int, ...]
    text: str

    @property
    def sha256(self) -> str:
        return sha256_of(json.dumps([self.sampling_sha256, self.text]))


def question_about(task: Task, ranked: Sequence[Judged], strategy: Strategy, policy: Answering) -> Question:
    """The question about the least expected of ``ranked``, as many as fit into the policy's context.

    They are in the order of their indices and not of a score, since policies prefer the first programs.
    """
    sampling = replace(strategy.sampling, answer=FORECAST, question="")
    tokens_left = getattr(policy, "tokens_left", None)
    for n in range(min(MOST_SHOWN, len(ranked)), 1, -1):
        shown = _least_expected(ranked, n, strategy.selection)
        text = forecast_question([each.candidate.source or "" for each in shown])
        left = tokens_left(task, FORECAST, text) if tokens_left else None
        if left is None or left >= LEAST_TOKENS:
            break
    else:
        shown, text = [], ""
    return Question(
        task=task,
        sampling=sampling,
        sampling_sha256=strategy.sampling_sha256,
        shown=tuple(each.candidate.index for each in shown),
        text=text,
    )


def _least_expected(ranked: Sequence[Judged], n: int, settings: SelectionSettings) -> list[Judged]:
    by_logprob = sorted(ranked, key=lambda each: (logprob_of(each, settings) or 0.0, each.candidate.index))
    return sorted(by_logprob[:n], key=lambda each: each.candidate.index)


def ask(question: Question, policy: Answering, *, seed: int) -> Forecast:
    """The policy's answer. If it names no shown program, or if there is no answer, ``missing`` has the reason.

    Raises the policy's exceptions.
    """
    forecast = Forecast(
        task=question.task.id, asked_sha256=question.sha256, shown=question.shown, tokens=0, seconds=0.0
    )
    if not question.shown:
        return replace(forecast, missing="two programs are too long for the policy's context")
    start = time.perf_counter()
    answers = list(policy.sample(question.task, question.sampling, seed=seed, indices=[INDEX], advice=question.text))
    if not answers:
        return replace(forecast, missing="the policy answers no further question")
    (answer,) = answers
    counts = (answer.prompt_tokens, answer.n_tokens)
    place = forecast_in(answer.text, len(question.shown))
    return replace(
        forecast,
        named=None if place is None else question.shown[place],
        missing="the answer names no program" if place is None else None,
        text=answer.text,
        tokens=None if None in counts else sum(each for each in counts if each is not None),
        seconds=round(time.perf_counter() - start, 4),
    )
