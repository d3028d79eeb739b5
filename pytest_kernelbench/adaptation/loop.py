"""The training loop: rollouts, their rewards, an update of the weights, and rollouts of the updated weights.

Every stage is recorded before the next one begins. A run that was killed resumes at the rollout or update that it was
interrupted in.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_kernelbench.adaptation.guardrails import NOT_FINITE, broken
from pytest_kernelbench.adaptation.lineage import Lineage
from pytest_kernelbench.adaptation.rewards import rewards_of
from pytest_kernelbench.ledger import Ledger, read_run
from pytest_kernelbench.records import AdaptationStep, Judged, Outcome
from pytest_kernelbench.selection.steps import counted, finished
from pytest_kernelbench.strategy import Strategy

if TYPE_CHECKING:
    from pytest_kernelbench.adaptation.rows import Weights
    from pytest_kernelbench.adaptation.stage import Stage
    from pytest_kernelbench.adaptation.trainer import Trainer


# Seconds between two checks whether another process has finished its update, which takes seconds to minutes.
LOOK_AGAIN_S = 0.25


def take_steps(lineage: Lineage, stage: Stage) -> list[AdaptationStep]:
    """Take all training steps that the strategy asks for and that are not recorded yet. Returns all steps.

    One process makes the updates. Meanwhile other processes that need the lineage sample and judge rollouts of the
    current step. If the process that updates dies, another one takes over.
    """
    ledger, settings = stage.ledger, lineage.settings
    rolled_out: set[tuple[int, str]] = set()
    while True:
        with ledger.owner_if_free(f"lineage-{lineage.id}") as leads:
            steps = ledger.adaptation_steps(lineage.id)
            while leads and not finished(counted(steps, settings), settings):
                step = _take_step(lineage, steps, stage)
                ledger.add_adaptation_step(step)
                steps.append(step)
        if finished(counted(steps, settings), settings):
            return counted(steps, settings)
        if not _roll_out(lineage, len(steps), stage, rolled_out):
            time.sleep(LOOK_AGAIN_S)


def _roll_out(lineage: Lineage, step: int, stage: Stage, done: set[tuple[int, str]]) -> bool:
    """Sample and judge one task of a step that no other process works on, from the last task on.

    Returns False if there is no such task.
    """
    at = lineage.at(step)
    if step and not stage.checkpoint(at).exists():
        return False  # the update is being taken
    for name in reversed(lineage.sampled(step)):
        with stage.ledger.owner_if_free(name) as free:
            pass
        if free and (step, name) not in done:
            stage.rollouts(lineage.task(name), at)
            done.add((step, name))
            return True
    return False


def training_share(lineage: Lineage, steps: Sequence[AdaptationStep], ledger: Ledger) -> dict[str, float]:
    """One task's share of the cost of training: updates, and rollouts of tasks that were not collected.

    Every task has an equal share. The number of updates, ``steps``, is not divided.
    """
    collected = (read_run(ledger.folder) or {})["tasks"]
    elsewhere = [(task, lineage.at(step.step)) for step in steps for task in step.tasks if task not in collected]
    updates = [step.update for step in steps if step.update]
    spent = {
        **ledger.spent(elsewhere),
        "teacher_tokens": sum(update["teacher_tokens"] for update in updates),
        "update_tokens": sum(update["update_tokens"] for update in updates),
        "adaptation_seconds": sum(update["seconds"] for update in updates),
    }
    return {"steps": len(updates), **{key: (value or 0) / len(collected) for key, value in spent.items()}}


def _take_step(lineage: Lineage, steps: Sequence[AdaptationStep], stage: Stage) -> AdaptationStep:
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
        folder = stage.checkpoint(at)
        if not folder.exists() and not _update(lineage, steps[-1], stage):
            return replace(row, stopped=NOT_FINITE)
        update = json.loads((folder / "update.json").read_text())
        row = replace(row, update=update, checkpoint=str(folder.relative_to(stage.ledger.folder)))
    rollouts = {name: stage.rollouts(lineage.task(name), at) for name in lineage.sampled(row.step)}
    trainable = {name: group[: at.sampling.k] for name, group in rollouts.items()}
    held_out = {name: group[at.sampling.k :] for name, group in rollouts.items()}
    row = replace(
        row,
        policy_version=stage.trainer(at).version,
        sampling_sha256=at.sampling_sha256,
        trained_on=lineage.trained_on(row.step),
        tasks={
            name: {
                **_counts(trainable[name], stage.margin),
                "reward": float(rewards_of([each.evaluation for each in trainable[name]], lineage.settings).mean()),
                "holdout": _counts(held_out[name], stage.margin) if held_out[name] else None,
            }
            for name in rollouts
        },
        entropy=_entropy([each for group in trainable.values() for each in group]),
        kl=_divergence(lineage, at, trainable, stage) if steps else None,
    )
    return replace(row, stopped=broken([*steps, row], lineage.settings))


def _update(lineage: Lineage, before: AdaptationStep, stage: Stage) -> bool:
    """Train on the rollouts of the step ``before`` and save the next checkpoint. Returns False if the update failed."""
    from pytest_kernelbench.adaptation.rows import training_rows

    start = time.perf_counter()
    at, next_step = lineage.at(before.step), before.step + 1
    rollouts = {name: stage.rollouts(lineage.task(name), at)[: at.sampling.k] for name in before.trained_on}
    trainer = stage.trainer(at)
    stage.say(f"{lineage.strategy.name}: update {next_step}/{lineage.settings.steps}")
    with stage.spending("adapting"):
        teacher = _teacher(lineage, before.step, trainer, stage)
        rows, teacher_tokens = training_rows(lineage, at, rollouts, trainer, teacher)
        summary = trainer.update(rows, step=next_step)
    if summary is None:
        return False
    seconds = time.perf_counter() - start
    update = {**summary, "teacher_tokens": teacher_tokens, "seconds": round(seconds, 3)}
    trainer.save(stage.checkpoint(lineage.at(next_step)), update)
    return True


def _teacher(lineage: Lineage, step: int, trainer: Trainer, stage: Stage) -> Weights:
    """A block in which ``trainer``, which has the weights of ``step``, uses the teacher's weights."""
    settings = lineage.settings
    if settings.sdpo.teacher == "start":
        return trainer.as_loaded
    if settings.sdpo.teacher == "average":
        folders = [stage.checkpoint(lineage.at(number)) for number in range(1, step + 1)]
        return partial(trainer.as_average, folders, rate=settings.sdpo.teacher_rate)
    return nullcontext


def _divergence(lineage: Lineage, at: Strategy, rollouts: Mapping[str, Sequence[Judged]], stage: Stage) -> float | None:
    """Estimated divergence from the policy as loaded, in nats a token, by the k3 estimator."""
    from pytest_kernelbench.adaptation.rows import logprobs_of

    trainer = stage.trainer(at)
    log_ratios: list[float] = []
    with stage.spending("measuring divergence"):
        for name, group in rollouts.items():
            task = lineage.task(name)
            completions = [each.candidate.completion for each in group]
            token_ids = [each.token_ids or () for each in completions]
            score = partial(trainer.score, task, at.sampling.asked, token_ids, temperature=trainer.temperature)
            now = logprobs_of(completions, task, at, trainer) if trainer.scores_exactly else score()
            with trainer.as_loaded():
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
