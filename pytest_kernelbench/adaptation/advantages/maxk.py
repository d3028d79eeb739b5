"""max@k: how much a rollout adds to the best of k rollouts, the quantity that best-of-N reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import comb, gammaln

from pytest_kernelbench.adaptation.advantages.base import Array
from pytest_kernelbench.strategy import Adaptation


def contribution_to_max(rewards: Sequence[Array], settings: Adaptation) -> list[Array]:
    """How much the best reward of a subset falls without a rollout: mean over the k-subsets that hold the rollout.

    Up to the factor k / n, an unbiased estimate of the gradient of E[max of k rewards], with the best of the other
    k - 1 as baseline: a rollout that beats no neighbour gets 0, and none is pushed down. k is at most the size of
    the group. Source: PKPO, arXiv 2505.15201, its estimator "s loo minus one".
    """
    return [_contribution(group, settings.maxk.k) for group in rewards]


def _contribution(rewards: Array, k: int) -> Array:
    n = len(rewards)
    k = min(k, n)
    if k < 2:
        return np.zeros_like(rewards)
    order = np.argsort(rewards, kind="stable")
    ascending = rewards[order]
    # A rollout at rank i is the best of its subset together with k - 1 lower ones, of which the best has rank j and
    # the other k - 2 lie below j: C(j, k - 2) subsets of the C(n, k), ranks from 0. It adds r_i - r_j.
    subsets = _subsets(np.arange(n, dtype=float), k - 2) / comb(n, k)
    below = np.cumsum(subsets) - subsets
    weighted = np.cumsum(subsets * ascending) - subsets * ascending
    contributions = np.empty(n)
    contributions[order] = np.maximum(ascending * below - weighted, 0.0) if np.ptp(rewards) else 0.0
    return contributions * n / k


def _subsets(n: Array, k: int) -> Array:
    """C(n, k) for every n, as floating point; 0 where k > n."""
    with np.errstate(invalid="ignore"):
        log = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(np.maximum(n - k, 0) + 1.0)
    counts: Array = np.where(n >= k, np.exp(log), 0.0)
    return counts
