"""Self-distillation: the policy that was shown the verdict on an answer teaches the policy that was not.

Source: arXiv 2602.07670 and its code; SDPO, arXiv 2601.20802. The feedback states the verdict, where
the original calls every attempt unsuccessful. Times are in ms, where the original calls ms us.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_kernelbench.adaptation.trainer import Lesson, Trainer
from pytest_kernelbench.prompting.feedback import feedback_on
from pytest_kernelbench.records import Judged, Task
from pytest_kernelbench.strategy import Adaptation

ASK_AGAIN = "Correctly solve the original question."
FEEDBACK = "This is what became of an earlier attempt:"
SOLUTION = "Correct solution:"


class Student(NamedTuple):
    """The student on its own rollouts: ``logprobs`` of each token at ``temperature``, and the ``likeliest`` tokens.

    ``likeliest`` has (tokens, k) ids for each rollout, k in the place of each token; None where only the drawn token
    counts.
    """

    logprobs: Sequence[tuple[float, ...]]
    likeliest: Sequence[Tensor] | None = None
    temperature: float = 1.0


def student_of(
    policy: Trainer,
    task: Task,
    answer: str,
    token_ids: Sequence[tuple[int, ...]],
    settings: Adaptation,
    *,
    temperature: float,
) -> Student:
    """Score ``token_ids`` with ``policy``, which has the student's weights."""
    logprobs = policy.score(task, answer, token_ids, temperature=temperature)
    if settings.sdpo.distil == "drawn":
        return Student(logprobs, temperature=temperature)
    likeliest = policy.likeliest(task, answer, token_ids, settings.sdpo.top_k)
    return Student(logprobs, likeliest, temperature)


class Taught(NamedTuple):
    """``advantages`` of each rollout's tokens, and its lesson where distributions are compared.

    ``teacher_tokens`` is the number of tokens that the teacher read, equal rollouts counted once.
    """

    advantages: list[tuple[float, ...]]
    lessons: list[Lesson | None]
    teacher_tokens: int


def teach(
    policy: Trainer,
    task: Task,
    answer: str,
    group: Sequence[Judged],
    student: Student,
    settings: Adaptation,
) -> Taught:
    """Advantage of each token: teacher's log-probability - student's, both by the same code at one temperature.

    ``policy`` has the teacher's weights. A teacher that has the student's weights and reads no more than the student
    gives advantages of exactly 0. With ``mask``, a rollout for which there is neither feedback nor a demonstration gets
    0 and no lesson: prompt-only SDPO then trains nothing, as in the official code.
    """
    advice = [advice_for(group, place, settings) for place in range(len(group))]
    advantages: list[tuple[float, ...]] = [(0.0,) * len(logprobs) for logprobs in student.logprobs]
    lessons: list[Lesson | None] = [None] * len(group)
    teacher_tokens = 0
    for text in dict.fromkeys(advice):
        if settings.sdpo.mask and text == ASK_AGAIN:
            continue
        places = [place for place, each in enumerate(advice) if each == text]
        rows = [group[place].candidate.completion.token_ids or () for place in places]
        prompt = len(policy.prompt_ids(task, answer, advice=text))
        teacher_tokens += sum(prompt + len(row) for row in set(rows))
        if student.likeliest is None:
            scored = policy.score(task, answer, rows, temperature=student.temperature, advice=text)
        else:
            # The drawn token, and then the likeliest ones.
            wanted = [
                torch.cat([torch.tensor(row, dtype=torch.long)[:, None], student.likeliest[place]], dim=1)
                for place, row in zip(places, rows, strict=True)
            ]
            each = policy.score_each(task, answer, rows, wanted, temperature=student.temperature, advice=text)
            scored = [tuple(logprobs[:, 0].tolist()) for logprobs in each]
            for place, logprobs in zip(places, each, strict=True):
                lessons[place] = Lesson(student.likeliest[place], logprobs[:, 1:])
        for place, taught in zip(places, scored, strict=True):
            advantages[place] = tuple(t - s for t, s in zip(taught, student.logprobs[place], strict=True))
    return Taught(advantages, lessons, teacher_tokens)


def advice_for(group: Sequence[Judged], place: int, settings: Adaptation) -> str:
    """The text that the teacher of rollout ``place`` reads after the question."""
    parts = []
    if settings.sdpo.demonstrations and (solution := _another_correct(group, place)):
        parts.append(f"{SOLUTION}\n{solution}")
    if settings.sdpo.feedback and (settings.sdpo.feedback_beside_solution or not parts):
        parts.append(f"{FEEDBACK}\n{feedback_on(group[place].evaluation)}")
    return "\n\n".join([*parts, ASK_AGAIN])


def _another_correct(group: Sequence[Judged], place: int) -> str | None:
    """The first correct source in the group that is not the rollout's own text."""
    own = group[place].candidate.source
    others = (each.candidate.source for each in group if each.evaluation.correct)
    return next((source for source in others if source is not None and source != own), None)
