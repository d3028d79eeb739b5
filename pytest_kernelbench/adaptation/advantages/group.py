"""GRPO and Dr. GRPO: rewards compared within each task's group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_kernelbench.adaptation.advantages.base import LEAST_SD, Array
from pytest_kernelbench.strategy import Adaptation


def standardised_in_group(rewards: Sequence[Array], settings: Adaptation) -> list[Array]:
    """(r - mean) / max(sd, 1e-6) of the group, sd with n - 1. Source: GRPO, arXiv 2402.03300."""
    return [
        centred / max(float(centred.std(ddof=1)), LEAST_SD) if centred.any() else centred
        for centred in centred_in_group(rewards, settings)
    ]


def centred_in_group(rewards: Sequence[Array], settings: Adaptation) -> list[Array]:
    """r - mean of the group, not divided by anything. Source: Dr. GRPO, arXiv 2503.20783."""
    return [group - group.mean() if np.ptp(group) else np.zeros_like(group) for group in rewards]
