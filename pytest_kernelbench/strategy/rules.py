"""Settings of ``[adaptation]`` that would do nothing beside the others of their file, and what to do about each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_kernelbench.strategy import Adaptation, Sampling

IN_GROUPS = ("grpo", "dr-grpo", "maxk", "entropic")

# Keys, what has to hold for them to be read, and the words for it. A key whose value is its default is never refused.
READ_ONLY_WITH: tuple[tuple[tuple[str, ...], Callable[[Adaptation], bool], str], ...] = (
    (
        ("demonstrations", "mask", "teacher", "distil"),
        lambda each: each.method == "sdpo",
        'is read with method = "sdpo" only',
    ),
    (
        ("drop_equal", "shuffle_rewards"),
        lambda each: each.method != "sdpo",
        'is about rewards, and method = "sdpo" learns from none',
    ),
    (("max_of",), lambda each: each.method == "maxk", 'is read with method = "maxk" only'),
    (("threshold",), lambda each: each.reward == "fast", 'is read with reward = "fast" only'),
    (("teacher_rate",), lambda each: each.teacher == "average", 'is read with teacher = "average" only'),
    (
        ("top_k", "teacher_share"),
        lambda each: each.distil == "distribution",
        'is read with distil = "distribution" only',
    ),
    (
        ("loss",),
        lambda each: each.distil != "distribution",
        'is not read with distil = "distribution", which has a loss of its own',
    ),
    (("clip_low", "clip_high"), lambda each: each.loss == "clipped", 'is read with loss = "clipped" only'),
    (
        ("train_on", "tasks_per_step"),
        lambda each: each.scope == "batch",
        'is read with scope = "batch" only: with "task" each task learns from itself alone',
    ),
    (
        ("feedback_beside_solution",),
        lambda each: each.feedback and each.demonstrations,
        "is read with both feedback and demonstrations only",
    ),
)


def nothing_to_read(settings: Adaptation) -> str | None:
    """``[adaptation] max_of is read with method = "maxk" only; leave it out``, or None where every key counts."""
    defaults = {each.name: each.default for each in fields(settings)}
    for keys, holds, words in READ_ONLY_WITH:
        for key in keys:
            if getattr(settings, key) != defaults[key] and not holds(settings):
                return f"[adaptation] {key} {words}; leave it out"
    return None


def nothing_to_learn(settings: Adaptation, sampling: Sampling) -> str | None:
    """Why no step could ever move the weights, and the remedy; None where one can."""
    if sampling.temperature == 0:
        return "[adaptation] learns from samples that differ; set sampling.temperature above 0"
    compares_groups = settings.method in IN_GROUPS or (settings.method == "batch" and settings.scope == "task")
    if sampling.k == 1 and compares_groups:
        return f'[adaptation] method = "{settings.method}" compares the rollouts of a task; set sampling.k to 2 or more'
    if settings.method == "sdpo" and settings.mask and not settings.feedback and not settings.demonstrations:
        return "[adaptation] mask leaves out every rollout without advice, and there is none; set feedback = true"
    return None
