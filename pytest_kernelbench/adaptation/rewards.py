"""From the evaluations of a task's rollouts to their rewards. Nothing but the evaluator makes a reward.

A rollout that is not correct earns 0, and so does a void rollout, whatever its timing was. To add a reward: write its
function here, and add its line to ``REWARDS`` in ``registries.py``.
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
    """The speed-up itself."""
    return [each.counted_speedup or 0.0 for each in evaluations]


def normalised(evaluations: Sequence[Evaluation], settings: Adaptation) -> list[float]:
    """Speed-up over the median speed-up of the group's correct rollouts.

    So tasks with large speed-ups do not drown the others. The original takes the median of the last
    32 correct rollouts as they come, so that a reward depends on the order of the samples; this median is the step's.
    """
    known = [each.counted_speedup for each in evaluations if each.counted_speedup]
    baseline = max(median(known), 1e-6) if known else 1.0
    return [(each.counted_speedup or 0.0) / baseline for each in evaluations]


def log_speedup(evaluations: Sequence[Evaluation], settings: Adaptation) -> list[float]:
    """ln(1 + speed-up): an outlier of 860x earns ten times a parity, not 860 times."""
    return [log1p(each.counted_speedup or 0.0) for each in evaluations]


def verified_fast(evaluations: Sequence[Evaluation], settings: Adaptation) -> list[float]:
    """1 where the interval of the speed-up lies above ``threshold``: the sparse reward."""
    return [float(each.fast(settings.rewards.threshold)) for each in evaluations]


def correct(evaluations: Sequence[Evaluation], settings: Adaptation) -> list[float]:
    """1 where it is correct, however slow."""
    return [float(each.correct) for each in evaluations]
