"""Entropic objective with adaptive temperature: the best rollouts weigh most, whatever the rewards' scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from pytest_kernelbench.adaptation.advantages.base import Array
from pytest_kernelbench.strategy import Adaptation

DIVERGENCE = float(np.log(2))
STEEPEST = 10.0  # times the range of a group's rewards


def entropic(rewards: Sequence[Array], settings: Adaptation) -> list[Array]:
    """e^(beta r_i) / mean over the others of e^(beta r_j), - 1.

    beta solves KL(softmax(beta r) || uniform) = ln 2 in each group. Where none does, because half of the group or
    more are (nearly) the best, it is ``STEEPEST``. Source: TTT-Discover, arXiv 2601.16175.
    """
    return [_entropic(group) for group in rewards]


def _entropic(rewards: Array) -> Array:
    spread = np.ptp(rewards)
    if spread == 0 or len(rewards) < 2:
        return np.zeros_like(rewards)
    gaps = (rewards - rewards.max()) / spread  # in [-1, 0]: e^(beta gap) cannot overflow

    def excess(beta: float) -> float:
        weights = np.exp(beta * gaps)
        shares = weights / weights.sum()
        held = shares[shares > 0]
        return float((held * np.log(held * len(rewards))).sum()) - DIVERGENCE

    beta = brentq(excess, 0.0, STEEPEST) if excess(STEEPEST) > 0 else STEEPEST
    weights = np.exp(beta * gaps)
    others = (weights.sum() - weights) / (len(rewards) - 1)
    advantages: Array = weights / others - 1
    return advantages
