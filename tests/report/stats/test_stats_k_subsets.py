"""Each estimator over K-subsets equals its mean over all subsets, counted one by one."""

from itertools import combinations
from math import isclose
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.report.stats import (
    any_success,
    argmax_mean,
    coin_flip_success,
    expected_max,
    random_correct_success,
    random_top_m_success,
    top_m_success,
)

# A candidate is None (incorrect), or whether it is fast; its place in the list is its place in the ranking.
groups = st.lists(st.sampled_from([None, False, True]), min_size=1, max_size=7)


@st.composite
def groups_and_k(draw):
    group = draw(groups)
    return group, draw(st.integers(1, len(group)))


def subset_mean(group, k, value_of_subset):
    return mean(float(value_of_subset(subset)) for subset in combinations(group, k))


def close(a, b):
    return isclose(a, b, abs_tol=1e-12)


@given(groups_and_k())
def test_any_success_is_the_share_of_subsets_with_a_fast_candidate(group_and_k):
    group, k = group_and_k
    assert close(any_success(len(group), group.count(True), k), subset_mean(group, k, lambda subset: True in subset))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=7), st.data())
def test_expected_max_is_the_mean_over_subsets_of_the_largest_score(scores, data):
    k = data.draw(st.integers(1, len(scores)))
    assert isclose(expected_max(scores, k), subset_mean(scores, k, max), rel_tol=1e-9, abs_tol=1e-9)


@given(groups_and_k())
def test_argmax_mean_is_the_mean_value_of_the_first_ranked_correct_candidate(group_and_k):
    group, k = group_and_k
    ranked = [2.0 + fast for fast in group if fast is not None]
    first = lambda subset: next((2.0 + fast for fast in subset if fast is not None), 0.0)  # noqa: E731
    assert close(argmax_mean(ranked, len(group), k), subset_mean(group, k, first))


@given(groups_and_k())
def test_random_correct_success_averages_over_the_correct_of_each_subset(group_and_k):
    group, k = group_and_k

    def success(subset):
        correct = [fast for fast in subset if fast is not None]
        return mean(map(float, correct)) if correct else 0.0

    n, c, f = len(group), len(group) - group.count(None), group.count(True)
    assert close(random_correct_success(n, c, f, k), subset_mean(group, k, success))


@given(groups_and_k(), st.integers(1, 4))
def test_random_top_m_success_averages_over_the_draws_from_each_subset(group_and_k, m):
    group, k = group_and_k

    def success(subset):
        correct = [fast for fast in subset if fast is not None]
        return mean(float(any(drawn)) for drawn in combinations(correct, min(m, len(correct))))

    n, c, f = len(group), len(group) - group.count(None), group.count(True)
    assert close(random_top_m_success(n, c, f, k, m), subset_mean(group, k, success))
    assert close(random_top_m_success(n, c, f, k, 1), random_correct_success(n, c, f, k))


@given(groups_and_k(), st.integers(1, 8))
def test_top_m_success_looks_at_the_first_m_correct_of_each_subset(group_and_k, m):
    group, k = group_and_k
    ranked = [fast for fast in group if fast is not None]
    success = lambda subset: any([fast for fast in subset if fast is not None][:m])  # noqa: E731
    assert close(top_m_success(ranked, len(group), k, m), subset_mean(group, k, success))


@given(groups_and_k())
def test_top_1_of_a_ranking_is_its_argmax_and_the_top_of_all_is_any(group_and_k):
    group, k = group_and_k
    ranked = [fast for fast in group if fast is not None]
    assert close(top_m_success(ranked, len(group), k, 1), argmax_mean(list(map(float, ranked)), len(group), k))
    assert close(top_m_success(ranked, len(group), k, k), any_success(len(group), group.count(True), k))


def test_a_coin_flip_gives_the_published_best_of_n_curve_within_five_points():
    published = {1: 53.3, 2: 72.4, 4: 89.5, 8: 98.2, 16: 99.9}
    assert all(abs(100 * coin_flip_success(k) - percent) < 5 for k, percent in published.items())


def test_more_candidates_than_were_drawn_are_refused():
    with pytest.raises(ValueError, match=r"^K must be from 1 to the 4 candidates drawn, not 5$"):
        any_success(4, 1, 5)
