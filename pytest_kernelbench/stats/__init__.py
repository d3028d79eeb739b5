"""Estimators and intervals: numbers in, numbers out."""

from pytest_kernelbench.stats.chance import ChanceTest, Power, chance_power, chance_test
from pytest_kernelbench.stats.equivalence import equivalent_k, equivalent_k_interval
from pytest_kernelbench.stats.homogeneity import Homogeneity, best_of_flat, homogeneity
from pytest_kernelbench.stats.intervals import (
    Interval,
    clustered_band,
    clustered_bootstrap,
    clustered_rate,
    clustered_rate_band,
    median_interval,
    wilson,
)
from pytest_kernelbench.stats.k_curves import (
    any_success_curve,
    argmax_mean_curve,
    distinct_curve,
    expected_max_curve,
    first_of_subset_weights,
    random_top_m_success_curve,
    top_m_success_curve,
)
from pytest_kernelbench.stats.k_subsets import (
    any_success,
    argmax_mean,
    coin_flip_success,
    expected_max,
    random_correct_success,
    random_top_m_success,
    top_m_success,
)
from pytest_kernelbench.stats.paired import (
    SignedRank,
    SignTest,
    cohens_h,
    least_sign_p,
    sign_test,
    sign_test_power,
    signed_rank,
    tasks_needed,
)
from pytest_kernelbench.stats.rank_correlation import Correlation, partial_spearman, spearman

__all__ = [
    "ChanceTest",
    "Correlation",
    "Homogeneity",
    "Interval",
    "Power",
    "SignTest",
    "SignedRank",
    "any_success",
    "any_success_curve",
    "argmax_mean",
    "argmax_mean_curve",
    "best_of_flat",
    "chance_power",
    "chance_test",
    "clustered_band",
    "clustered_bootstrap",
    "clustered_rate",
    "clustered_rate_band",
    "cohens_h",
    "coin_flip_success",
    "distinct_curve",
    "equivalent_k",
    "equivalent_k_interval",
    "expected_max",
    "expected_max_curve",
    "first_of_subset_weights",
    "homogeneity",
    "least_sign_p",
    "median_interval",
    "partial_spearman",
    "random_correct_success",
    "random_top_m_success",
    "random_top_m_success_curve",
    "sign_test",
    "sign_test_power",
    "signed_rank",
    "spearman",
    "tasks_needed",
    "top_m_success",
    "top_m_success_curve",
    "wilson",
]
