"""Best-of-Adaptation: which step's candidates count, and when no further step is taken.

Source: arXiv 2602.07670, algorithm 1, which credits a step with the rollouts of the one before; here a
step is credited with its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from pytest_kernelbench.records import AdaptationStep
from pytest_kernelbench.strategy import Adaptation


def counted(steps: Sequence[AdaptationStep], settings: Adaptation) -> list[AdaptationStep]:
    """The steps of a lineage that a strategy uses; another strategy that shares it may use more."""
    taken: list[AdaptationStep] = []
    for step in steps[: settings.steps + 1]:
        if finished(taken, settings):
            break
        taken.append(step)
    return taken


def finished(steps: Sequence[AdaptationStep], settings: Adaptation) -> bool:
    """Whether training ends: all steps were taken, a guardrail broke, or patience is exhausted.

    Patience counts steps after the best one. If a step trains on some of the tasks only (``tasks_per_step``), it counts
    whole passes over the tasks, because a step then measures only a part of them.
    """
    if not steps:
        return False
    if len(steps) > settings.steps or steps[-1].stopped:
        return True
    if settings.ending.patience is None:
        return False
    scores = latest_fast_1(steps)
    since_best = len(steps) - 1 - scores.index(max(scores))
    return since_best >= settings.ending.patience * steps_a_pass(len(steps[0].group), settings)


def steps_a_pass(tasks: int, settings: Adaptation) -> int:
    """How many steps it takes until each of ``tasks`` tasks was trained on once."""
    return math.ceil(tasks / min(settings.tasks_per_step or tasks, tasks))


def latest_fast_1(steps: Sequence[AdaptationStep]) -> list[float]:
    """After each step, the mean over all tasks of per-sample fast_1 at the latest step that measured the task."""
    latest: dict[str, float] = {}
    scores = []
    for step in steps:
        latest |= {task: fast_1_per_sample(step, [task]) for task in step.tasks}
        scores.append(sum(latest.values()) / len(latest))
    return scores


def candidates_of(task: str, steps: Sequence[AdaptationStep], settings: Adaptation) -> tuple[list[int], int | None]:
    """The steps whose candidates count for ``task``, and the chosen step (None: every step counts).

    If a guardrail broke, the ``last`` step is the best one before it. A task that was not trained on has candidates of
    one step only: the last one, or the best one for the tasks that were trained on.
    """
    sound = [step for step in steps if step.policy_version is not None]
    if task in sound[0].group:
        if settings.checkpoint == "every":
            return [step.step for step in sound if task in step.tasks], None
        if settings.checkpoint == "best-per-task":
            chosen = best([step for step in sound if task in step.tasks], [task]).step
            return [chosen], chosen
    chosen = settled(steps, settings)
    return [chosen], chosen


def settled(steps: Sequence[AdaptationStep], settings: Adaptation) -> int:
    """The step whose weights a lineage ends with; tasks that were not trained on are sampled from it."""
    sound = [step for step in steps if step.policy_version is not None]
    if settings.checkpoint in ("last", "every") and not steps[-1].stopped:
        return sound[-1].step
    return best(sound).step


def trained_on(steps: Sequence[AdaptationStep], step: int) -> frozenset[str]:
    """The tasks whose rollouts made the weights of ``step``."""
    return frozenset(task for before in steps if before.step < step for task in before.trained_on)


def best(steps: Sequence[AdaptationStep], tasks: Collection[str] | None = None) -> AdaptationStep:
    """Highest mean over ``tasks`` (None: all of the lineage) of per-sample fast_1, the earliest of equals.

    By the holdout if there is one. A step that was not measured on all of the tasks is skipped.
    """
    wanted = steps[0].group if tasks is None else tasks
    measured = [step for step in steps if all(task in step.tasks for task in wanted)]
    return max(measured, key=lambda step: (fast_1_per_sample(step, wanted), -step.step))


def fast_1_per_sample(step: AdaptationStep, tasks: Collection[str]) -> float:
    """Mean over ``tasks`` of the share of verified fast rollouts: the holdout's where there is one."""
    counts = [step.tasks[task]["holdout"] or step.tasks[task] for task in tasks]
    return float(sum(count["fast_1"] / count["rollouts"] for count in counts) / len(counts))
