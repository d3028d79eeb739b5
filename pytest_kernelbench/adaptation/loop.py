"""The back edge of the story: rollouts, rewards, an update, and rollouts of what it made.

Every stage is recorded before the next begins: a run that was killed goes on with the rollout or update it was at.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_kernelbench.adaptation.advantages import ADVANTAGES
from pytest_kernelbench.adaptation.guardrails import NOT_FINITE, broken
from pytest_kernelbench.adaptation.rewards import rewards_of
from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.ledger import read_run
from pytest_kernelbench.records import AdaptationStep, Completion, Judged, Outcome, Task, sha256_of
from pytest_kernelbench.selection.steps import counted, finished
from pytest_kernelbench.strategy import Adaptation, Strategy
from pytest_kernelbench.tasks import load_tasks

if TYPE_CHECKING:
    from pytest_kernelbench.adaptation.learner import Learner, Lesson, TrainingRow
    from pytest_kernelbench.adaptation.sdpo import Taught
    from pytest_kernelbench.workbench import Workbench

# A block within which the learner has other weights than its own.
Weights = Callable[[], AbstractContextManager[None]]
# Candidates of a task under a strategy at a version, sampled and evaluated, in order of index.
Judge = Callable[[Task, Strategy], list[Judged]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """One chain of versions: ``strategy`` adapting to the tasks of ``group``, those collected in ``tasks``."""

    strategy: Strategy
    group: tuple[str, ...]
    tasks: Mapping[str, Task]
    seed: int

    @property
    def id(self) -> str:
        # With the seed: runs that differ in nothing else make other weights, which need another name.
        return sha256_of(json.dumps([self.strategy.adaptation_sha256, self.seed, *self.group]))[:12]

    @property
    def settings(self) -> Adaptation:
        assert self.strategy.adaptation is not None
        return self.strategy.adaptation

    def at(self, step: int) -> Strategy:
        return self.strategy.at(self.id, step)

    def trained_on(self, step: int) -> tuple[str, ...]:
        """The tasks of a step's batch: all, or the next ``tasks_per_step`` of shuffled passes over the group."""
        n = self.settings.tasks_per_step or len(self.group)
        if n >= len(self.group):
            return self.group
        places = [divmod(place, len(self.group)) for place in range(step * n, (step + 1) * n)]
        return tuple(dict.fromkeys(self._shuffled(epoch)[place] for epoch, place in places))

    def sampled(self, step: int) -> tuple[str, ...]:
        """The tasks that a step is measured on: its batch, and at the first and last step all."""
        return self.group if step in (0, self.settings.steps) else self.trained_on(step)

    def task(self, name: str) -> Task:
        if name not in self.tasks:
            raise UsageError(
                f"strategy {self.strategy.name}: adapts to {len(self.group)} tasks in this run, and {name} is not "
                "collected now; name all of them again to go on"
            )
        return self.tasks[name]

    def _shuffled(self, epoch: int) -> list[str]:
        return sorted(self.group, key=lambda task: sha256_of(f"epoch\0{self.seed}\0{epoch}\0{task}"))


def lineage_of(task: Task, strategy: Strategy, bench: Workbench) -> Lineage:
    """The lineage that serves ``task``: its own, that of ``train_on``, or that of all tasks collected."""
    assert strategy.adaptation is not None
    if strategy.adaptation.scope == "task":
        return Lineage(strategy=strategy, group=(task.id,), tasks={task.id: task}, seed=bench.seed)
    named = strategy.adaptation.train_on
    if named is not None:
        sizes = (read_run(bench.ledger.folder) or {}).get("sizes") or "full"
        learnt_on: Sequence[Task] = load_tasks([named], sizes=sizes)
    else:
        learnt_on = bench.tasks
    group = bench.ledger.group_of(strategy, learnt_on)
    return Lineage(strategy=strategy, group=group, tasks={each.id: each for each in learnt_on}, seed=bench.seed)


def take_steps(lineage: Lineage, bench: Workbench, judge: Judge) -> list[AdaptationStep]:
    """Adapt as far as the strategy asks, unless that is recorded already; the steps it takes.

    One process adapts; others that need the lineage wait for it.
    """
    with bench.ledger.sole_owner(f"lineage-{lineage.id}"):
        steps = bench.ledger.adaptation_steps(lineage.id)
        while not finished(counted(steps, lineage.settings), lineage.settings):
            step = _take_step(lineage, steps, bench, judge)
            bench.ledger.add_adaptation_step(step)
            steps.append(step)
    return counted(steps, lineage.settings)


def training_share(lineage: Lineage, steps: Sequence[AdaptationStep], bench: Workbench) -> dict[str, float]:
    """A task's equal share of what updates read and took, and of what was drawn for tasks that were not collected.

    ``steps`` counts the updates, which are not shared.
    """
    collected = (read_run(bench.ledger.folder) or {})["tasks"]
    elsewhere = [(task, lineage.at(step.step)) for step in steps for task in step.tasks if task not in collected]
    updates = [step.update for step in steps if step.update]
    spent = {
        **bench.ledger.spent(elsewhere),
        "teacher_tokens": sum(update["teacher_tokens"] for update in updates),
        "update_tokens": sum(update["update_tokens"] for update in updates),
        "adaptation_seconds": sum(update["seconds"] for update in updates),
    }
    return {"steps": len(updates), **{key: (value or 0) / len(collected) for key, value in spent.items()}}


def _take_step(lineage: Lineage, steps: Sequence[AdaptationStep], bench: Workbench, judge: Judge) -> AdaptationStep:
    at = lineage.at(len(steps))
    row = AdaptationStep(
        lineage=lineage.id,
        adaptation_sha256=at.adaptation_sha256 or "",
        group=lineage.group,
        step=len(steps),
        first_index=at.indices.start,
        rollouts=at.sampling.k,
        holdout=lineage.settings.holdout,
    )
    if steps:
        folder = bench.checkpoint_folder(at)
        if not folder.exists() and not _update(lineage, steps[-1], bench, judge):
            return replace(row, stopped=NOT_FINITE)
        update = json.loads((folder / "update.json").read_text())
        row = replace(row, update=update, checkpoint=str(folder.relative_to(bench.ledger.folder)))
    rollouts = {name: judge(lineage.task(name), at) for name in lineage.sampled(row.step)}
    trainable = {name: group[: at.sampling.k] for name, group in rollouts.items()}
    held_out = {name: group[at.sampling.k :] for name, group in rollouts.items()}
    margin = bench.margin_of(at)
    row = replace(
        row,
        policy_version=bench.policy_for(at).version,
        sampling_sha256=at.sampling_sha256,
        trained_on=lineage.trained_on(row.step),
        tasks={
            name: {
                **_counts(trainable[name], margin),
                "reward": float(rewards_of([each.evaluation for each in trainable[name]], lineage.settings).mean()),
                "holdout": _counts(held_out[name], margin) if held_out[name] else None,
            }
            for name in rollouts
        },
        entropy=_entropy([each for group in trainable.values() for each in group]),
        kl=_divergence(lineage, at, trainable, bench) if steps else None,
    )
    return replace(row, stopped=broken([*steps, row], lineage.settings))


def _update(lineage: Lineage, before: AdaptationStep, bench: Workbench, judge: Judge) -> bool:
    """Make the next checkpoint from the rollouts of ``before``; False where the update came to nothing."""
    start = time.perf_counter()
    at, next_step = lineage.at(before.step), before.step + 1
    rollouts = {name: judge(lineage.task(name), at)[: at.sampling.k] for name in before.trained_on}
    learner = bench.learner_for(at)
    bench.say(f"{lineage.strategy.name}: update {next_step}/{lineage.settings.steps}")
    with bench.spending("adapting"):
        teacher = _teacher(lineage, before.step, learner, bench)
        rows, teacher_tokens = training_rows(lineage, at, rollouts, learner, teacher)
        summary = learner.update(rows, step=next_step)
    if summary is None:
        return False
    seconds = time.perf_counter() - start
    learner.checkpoint({**summary, "teacher_tokens": teacher_tokens, "seconds": round(seconds, 3)}).write(
        bench.checkpoint_folder(lineage.at(next_step))
    )
    return True


def _teacher(lineage: Lineage, step: int, learner: Learner, bench: Workbench) -> Weights:
    """Those of the teacher of ``learner``, which has the weights of ``step``."""
    from pytest_kernelbench.adaptation.checkpoints import Checkpoint

    settings = lineage.settings
    if settings.teacher == "start":
        return learner.loaded_weights
    if settings.teacher == "average":
        folders = [bench.checkpoint_folder(lineage.at(number)) for number in range(1, step + 1)]
        average = learner.average((Checkpoint.read(each).adapter for each in folders), rate=settings.teacher_rate)
        return partial(learner.borrowed, average)
    return nullcontext


def training_rows(
    lineage: Lineage,
    at: Strategy,
    rollouts: Mapping[str, Sequence[Judged]],
    learner: Learner,
    teacher: Weights,
) -> tuple[list[TrainingRow], int]:
    """What the update learns from, and how many tokens a teacher or the policy as loaded read for it.

    ``learner`` has the weights of ``at``, and within ``teacher()`` the teacher's.
    """
    from pytest_kernelbench.adaptation.learner import TrainingRow

    settings, answer = lineage.settings, at.sampling.answer
    kept = {name: list(group) for name, group in rollouts.items() if group}
    lessons: dict[str, list[Lesson | None]] = {}
    teacher_tokens = 0
    if settings.method == "sdpo":
        taught = _taught(lineage, at, kept, learner, teacher)
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
        behaviour = _logprobs(completions, task, at, learner)
        prompt = tuple(learner.policy.prompt_ids(task, answer))
        reference: Sequence[tuple[float, ...] | None] = [None] * len(group)
        if settings.kl > 0:
            with learner.loaded_weights():
                reference = learner.policy.score(task, answer, token_ids, temperature=learner.temperature)
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
    if settings.shuffle_rewards:
        every = np.concatenate(list(rewards.values())).tolist()
        random.Random(seed).shuffle(every)
        dealt = iter(every)
        rewards = {name: np.array([next(dealt) for _ in group]) for name, group in rewards.items()}
    if settings.drop_equal:
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
    learner: Learner,
    teacher: Weights,
) -> dict[str, Taught]:
    from pytest_kernelbench.adaptation.sdpo import student_of, teach

    settings, answer, temperature = lineage.settings, at.sampling.answer, learner.temperature
    taught = {}
    for name, group in rollouts.items():
        task = lineage.task(name)
        token_ids = [each.candidate.completion.token_ids or () for each in group]
        student = student_of(learner.policy, task, answer, token_ids, settings, temperature=temperature)
        with teacher():
            taught[name] = teach(learner.policy, task, answer, group, student, settings, temperature=temperature)
    return taught


def _logprobs(
    completions: Sequence[Completion], task: Task, at: Strategy, learner: Learner
) -> Sequence[tuple[float, ...]]:
    """Of what was sampled, at the loss's temperature: as recorded where that is one of the two recorded."""
    if learner.temperature == at.sampling.temperature:
        return [each.sampling_logprobs or each.logprobs or () for each in completions]
    if learner.temperature == 1:
        return [each.logprobs or () for each in completions]
    token_ids = [each.token_ids or () for each in completions]
    return learner.policy.score(task, at.sampling.answer, token_ids, temperature=learner.temperature)


def _divergence(
    lineage: Lineage, at: Strategy, rollouts: Mapping[str, Sequence[Judged]], bench: Workbench
) -> float | None:
    """Nats a token to the policy as loaded, by the k3 estimator."""
    bench.policy_for(at)
    learner = bench.learner_for(at)
    log_ratios: list[float] = []
    with bench.spending("measuring divergence"):
        for name, group in rollouts.items():
            task = lineage.task(name)
            completions = [each.candidate.completion for each in group]
            token_ids = [each.token_ids or () for each in completions]
            score = partial(learner.policy.score, task, at.sampling.answer, token_ids, temperature=learner.temperature)
            # In bfloat16 a token scored is 0.07 nats from the same token sampled, more than a step moves it.
            exact = learner.policy.model.dtype.itemsize >= 4
            now = _logprobs(completions, task, at, learner) if exact else score()
            with learner.loaded_weights():
                loaded = score()
            log_ratios += [
                b - a for row, start in zip(now, loaded, strict=True) for a, b in zip(row, start, strict=True)
            ]
    if not log_ratios:
        return None
    each = np.array(log_ratios)
    return float((np.expm1(each) - each).mean())


def _entropy(rollouts: Sequence[Judged]) -> float | None:
    completions = [each.candidate.completion for each in rollouts]
    drawn = [value for each in completions for value in (each.sampling_logprobs or each.logprobs or ())]
    return -float(np.mean(drawn)) if drawn else None


def _counts(group: Sequence[Judged], margin: float) -> dict[str, Any]:
    evaluations = [each.evaluation for each in group]
    return {
        "rollouts": len(group),
        "correct": sum(each.correct for each in evaluations),
        "void": sum(each.outcome is Outcome.VOID for each in evaluations),
        "fast_1": sum(each.fast(margin=margin) for each in evaluations),
        "fast_1_raw": sum(each.fast_raw() for each in evaluations),
        "distinct": len({each.evaluation.source_sha256 for each in group} - {None}),
        "sampled_tokens": sum(each.candidate.completion.n_tokens or 0 for each in group),
    }
