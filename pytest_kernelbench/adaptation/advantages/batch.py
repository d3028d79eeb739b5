"""Batch TTT: rewards standardised over all rollouts of all tasks of a step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_kernelbench.adaptation.advantages.base import LEAST_SD, Array
from pytest_kernelbench.strategy import Adaptation


def standardised_over_batch(rewards: Sequence[Array], settings: Adaptation) -> list[Array]:
    """(r - mean) / max(sd, 1e-6), both over the whole batch, sd with n - 1. Source: arXiv 2602.07670, batch TTT.

    A task whose rewards are all equal still gets an advantage, since the mean is over all tasks. Only a batch of equal
    rewards gets exactly 0.
    """
    every = np.concatenate(rewards)
    if np.ptp(every) == 0:
        return [np.zeros_like(group) for group in rewards]
    sd = max(float(every.std(ddof=1)), LEAST_SD)
    return [(group - every.mean()) / sd for group in rewards]
