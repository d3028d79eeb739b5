"""The rows that an update trains on: one for each rollout, each token with an advantage (from rewards or a teacher)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

import numpy as np

from pytest_kernelbench.adaptation.advantages import ADVANTAGES
from pytest_kernelbench.adaptation.lineage import Lineage
from pytest_kernelbench.adaptation.rewards import rewards_of
from pytest_kernelbench.adaptation.sdpo import Taught, student_of, teach
from pytest_kernelbench.adaptation.trainer import Lesson, Trainer, TrainingRow
from pytest_kernelbench.records import Completion, Judged, Task
from pytest_kernelbench.strategy import Adaptation, Strategy

# A context manager: inside its block the trainer has other weights.
Weights = Callable[[], AbstractContextManager[None]]


def training_rows(
    lineage: Lineage,
    at: Strategy,
    rollouts: Mapping[str, Sequence[Judged]],
    trainer: Trainer,
    teacher: Weights,
) -> tuple[list[TrainingRow], int]:
    """The rows of one update, and the number of tokens that a teacher or the policy as loaded read for them.

    ``trainer`` must have the weights of ``at``. In a block ``with teacher()`` it has the teacher's weights.
    """
    settings, answer = lineage.settings, at.sampling.asked
    kept = {name: list(group) for name, group in rollouts.items() if group}
    lessons: dict[str, list[Lesson | None]] = {}
    teacher_tokens = 0
    if settings.method == "sdpo":
        taught = _taught(lineage, at, kept, trainer, teacher)
        by_token = {name: each.advantages for name, each in taught.items()}
        lessons = {name: each.lessons for name, each in taught.items()}
        teacher_tokens = sum(each.teacher_tokens for each in taught.values())
    else:
        by_token = _credited(kept, settings, seed=f"{lineage.seed}\0{at.indices.start}")
        kept = {name: kept[name] for name in by_token}
    rows = []
    for name, group in kept.items():
        task = lineage.task(name)
        completions = [each.candidate.completion for each in group]
        token_ids = [each.token_ids or () for each in completions]
        behaviour = logprobs_of(completions, task, at, trainer)
        prompt = tuple(trainer.prompt_ids(task, answer))
        reference: Sequence[tuple[float, ...] | None] = [None] * len(group)
        if settings.kl > 0:
            with trainer.as_loaded():
                reference = trainer.score(task, answer, token_ids, temperature=trainer.temperature)
            teacher_tokens += sum(len(prompt) + len(row) for row in set(token_ids))
        for place, completion in enumerate(completions):
            if settings.drop_truncated and completion.stop_reason == "length":
                continue  # no row at all: the divisor of the loss counts rows and their tokens
            rows.append(
                TrainingRow(
                    prompt_ids=prompt,
                    token_ids=token_ids[place],
                    behaviour=behaviour[place],
                    advantages=by_token[name][place],
                    reference=reference[place],
                    lesson=lessons[name][place] if name in lessons else None,
                )
            )
    return rows, teacher_tokens


def _credited(
    rollouts: Mapping[str, Sequence[Judged]], settings: Adaptation, *, seed: str
) -> dict[str, list[tuple[float, ...]]]:
    """Every token of a rollout gets the rollout's advantage; groups that ``drop_equal`` drops are not in the result."""
    rewards = {name: rewards_of([each.evaluation for each in group], settings) for name, group in rollouts.items()}
    if settings.rewards.shuffle:
        every = np.concatenate(list(rewards.values())).tolist()
        random.Random(seed).shuffle(every)
        dealt = iter(every)
        rewards = {name: np.array([next(dealt) for _ in group]) for name, group in rewards.items()}
    if settings.rewards.drop_equal:
        rewards = {name: group for name, group in rewards.items() if np.ptp(group) > 0}
    advantages = ADVANTAGES[settings.method](list(rewards.values()), settings) if rewards else []
    return {
        name: [
            (float(advantage),) * (each.candidate.completion.n_tokens or 0)
            for advantage, each in zip(values, rollouts[name], strict=True)
        ]
        for name, values in zip(rewards, advantages, strict=True)
    }


def _taught(
    lineage: Lineage,
    at: Strategy,
    rollouts: Mapping[str, Sequence[Judged]],
    trainer: Trainer,
    teacher: Weights,
) -> dict[str, Taught]:
    settings, answer, temperature = lineage.settings, at.sampling.asked, trainer.temperature
    taught = {}
    for name, group in rollouts.items():
        task = lineage.task(name)
        token_ids = [each.candidate.completion.token_ids or () for each in group]
        student = student_of(trainer, task, answer, token_ids, settings, temperature=temperature)
        with teacher():
            taught[name] = teach(trainer, task, answer, group, student, settings)
    return taught


def logprobs_of(
    completions: Sequence[Completion], task: Task, at: Strategy, trainer: Trainer
) -> Sequence[tuple[float, ...]]:
    """Log-probabilities of the sampled tokens at the loss's temperature.

    The records have them at the sampler's temperature and at 1. For another temperature they are computed.
    """
    if trainer.temperature == at.sampling.temperature:
        return [each.sampling_logprobs or each.logprobs or () for each in completions]
    if trainer.temperature == 1:
        return [each.logprobs or () for each in completions]
    token_ids = [each.token_ids or () for each in completions]
    return trainer.score(task, at.sampling.asked, token_ids, temperature=trainer.temperature)
