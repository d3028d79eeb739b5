"""Estimators and intervals: numbers in, numbers out."""

from pytest_kernelbench.stats.intervals import Interval, clustered_bootstrap, wilson
from pytest_kernelbench.stats.k_subsets import (
    any_success,
    argmax_mean,
    coin_flip_success,
    equivalent_k,
    expected_max,
    random_correct_success,
    top_m_success,
)

__all__ = [
    "Interval",
    "any_success",
    "argmax_mean",
    "clustered_bootstrap",
    "coin_flip_success",
    "equivalent_k",
    "expected_max",
    "random_correct_success",
    "top_m_success",
    "wilson",
]
