"""Each curve equals its estimator at every K, which the tests of ``k_subsets`` hold against enumeration."""

from itertools import combinations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.report.stats import (
    any_success,
    any_success_curve,
    argmax_mean,
    argmax_mean_curve,
    distinct_curve,
    expected_max,
    expected_max_curve,
    random_top_m_success,
    random_top_m_success_curve,
    top_m_success,
    top_m_success_curve,
)

# A candidate is None (incorrect), or whether it is fast; its place in the list is its place in the ranking.
groups = st.lists(st.sampled_from([None, False, True]), min_size=1, max_size=40)


def counts_of(group):
    return len(group), len(group) - group.count(None), group.count(True)


def at_every_k(function, n):
    return pytest.approx([function(k) for k in range(1, n + 1)], rel=1e-9, abs=1e-9)


@given(groups)
def test_any_success(group):
    n, _, f = counts_of(group)
    assert list(any_success_curve(n, f)) == at_every_k(lambda k: any_success(n, f, k), n)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=40))
def test_expected_max(scores):
    assert list(expected_max_curve(scores)) == at_every_k(lambda k: expected_max(scores, k), len(scores))


@given(groups)
def test_argmax_mean(group):
    values = [1.5 + fast for fast in group if fast is not None]
    assert list(argmax_mean_curve(values, len(group))) == at_every_k(
        lambda k: argmax_mean(values, len(group), k), len(group)
    )


@given(groups, st.integers(1, 5))
def test_random_top_m_success(group, m):
    n, c, f = counts_of(group)
    assert list(random_top_m_success_curve(n, c, f, m)) == at_every_k(lambda k: random_top_m_success(n, c, f, k, m), n)


@given(groups, st.integers(1, 5))
def test_top_m_success(group, m):
    ranked = [fast for fast in group if fast is not None]
    n = len(group)
    assert list(top_m_success_curve(ranked, n, m)) == at_every_k(lambda k: top_m_success(ranked, n, k, m), n)


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=7))
def test_distinct_is_the_mean_number_of_kinds_in_a_subset(kinds):
    """-1 is of no kind: an answer without source."""
    n = len(kinds)
    counts = [kinds.count(kind) for kind in set(kinds) - {-1}]
    for k, value in enumerate(distinct_curve(counts, n), 1):
        found = [len(set(subset) - {-1}) for subset in combinations(kinds, k)]
        assert value == pytest.approx(sum(found) / len(found), abs=1e-9)


def test_thousands_of_candidates_need_no_larger_numbers_than_floats():
    curve = any_success_curve(5000, 3)
    assert numpy.isfinite(curve).all() and (numpy.diff(curve) >= -1e-12).all()
    assert curve[2499] == pytest.approx(1 - 0.5**3, abs=1e-3)
