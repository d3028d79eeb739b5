"""Rewards of a task's rollouts, computed from their evaluations alone.

A rollout that is incorrect or void has reward 0, whatever its timing was. To add a reward: write its function here, and
add its line to ``REWARDS`` in ``registries.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log1p
from statistics import median

import numpy as np

from pytest_kernelbench.adaptation.advantages.base import Array
from pytest_kernelbench.records import Evaluation
from pytest_kernelbench.registries import REWARDS
from pytest_kernelbench.strategy import Adaptation

# Evaluations of one task's rollouts to their rewards, in the same order.
Reward = Callable[[Sequence[Evaluation], Adaptation], list[float]]


def rewards_of(evaluations: Sequence[Evaluation], settings: Adaptation) -> Array:
    """Rewards of one task's group, shape (rollouts,)."""
    earned = REWARDS[settings.reward](evaluations, settings)
    pairs = zip(evaluations, earned, strict=True)
    return np.array([reward + settings.rewards.correct_bonus if each.correct else 0.0 for each, reward in pairs])


def speedup(evaluations: Sequence[Evaluation], settings: Adaptation) -> list[float]:
    """The speed-up of each rollout; 0 if it is not correct."""
    return [each.counted_speedup or 0.0 for each in evaluations]


def normalised(evaluations: Sequence[Evaluation], settings: Adaptation) -> list[float]:
    """Speed-up over the median speed-up of the group's correct rollouts.

    Tasks with large speed-ups therefore do not dominate a step. The original uses the median of the last 32 correct
    rollouts, so that a reward depends on the order of the samples. Here the median is over the step.
    """
    known = [each.counted_speedup for each in evaluations if each.counted_speedup]
    baseline = max(median(known), 1e-6) if known else 1.0
    return [(each.counted_speedup or 0.0) / baseline for each in evaluations]


def log_speedup(evaluations: Sequence[Evaluation], settings: Adaptation) -> list[float]:
    """ln(1 + speed-up): an outlier of 860x earns ten times a parity, not 860 times."""
    return [log1p(each.counted_speedup or 0.0) for each in evaluations]


def verified_fast(evaluations: Sequence[Evaluation], settings: Adaptation) -> list[float]:
    """1 for a rollout whose speed-up's interval lies above ``threshold``, else 0: a sparse reward."""
    return [float(each.fast(settings.rewards.threshold)) for each in evaluations]


def correct(evaluations: Sequence[Evaluation], settings: Adaptation) -> list[float]:
    """1 for a correct rollout, however slow, else 0."""
    return [float(each.correct) for each in evaluations]
