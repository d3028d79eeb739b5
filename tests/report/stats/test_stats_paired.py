"""The sign test, the signed-rank test and Cohen's h, against enumeration, scipy and the paper's values."""

from itertools import product
from math import isclose
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from pytest_kernelbench.report.stats import cohens_h, least_sign_p, sign_test, signed_rank

differences = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=12)


def test_the_paper_s_effect_size_is_that_of_80_against_50_percent():
    assert round(cohens_h(0.8, 0.5), 2) == 0.64


def test_the_paper_s_sign_test_is_three_of_three_and_says_a_quarter_if_two_sided():
    test = sign_test([1, 1, 1, 0, 0])
    assert test._asdict() == {"wins": 3, "losses": 0, "ties": 2, "p_one_sided": 0.125, "p_two_sided": 0.25}


@given(differences)
def test_the_sign_test_counts_the_sign_patterns_that_are_as_extreme(found):
    wins, losses = found.count(1), found.count(-1)
    patterns = list(product([0, 1], repeat=wins + losses))
    least = max(wins, losses)
    extreme = sum(max(sum(each), len(each) - sum(each)) >= least for each in patterns)
    assert isclose(sign_test(found).p_two_sided, extreme / len(patterns))
    assert isclose(sign_test(found).p_one_sided, sum(sum(each) >= wins for each in patterns) / len(patterns))


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]) | st.integers(-999, 999).map(lambda each: each / 7),
        min_size=1,
        max_size=8,
    )
)
def test_the_signed_rank_test_counts_the_sign_patterns_that_are_as_extreme_ties_included(ratios):
    found = [each for each in ratios if each]
    if not found:
        assert signed_rank(ratios) is None
        return
    sizes = sorted(map(abs, found))
    ranks = [mean(place for place, size in enumerate(sizes, 1) if size == abs(each)) for each in found]
    total = sum(ranks)
    positive = sum(rank for rank, each in zip(ranks, found, strict=True) if each > 0)
    statistic = min(positive, total - positive)
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in product([0, 1], repeat=len(found))
    ]
    extreme = sum(min(each, total - each) <= statistic for each in sums)
    test = signed_rank(ratios)
    assert test.statistic == statistic and test.n == len(found)
    assert isclose(test.p, min(1.0, extreme / len(sums)))


@settings(deadline=None)
@given(st.lists(st.integers(-999, 999).filter(bool).map(lambda each: each / 7), min_size=1, max_size=40, unique_by=abs))
def test_without_ties_the_signed_rank_test_is_scipy_s(ratios):
    expected = wilcoxon(ratios, method="exact")
    assert signed_rank(ratios) == (len(ratios), expected.statistic, pytest.approx(expected.pvalue))


def test_five_tasks_cannot_show_anything_at_5_percent():
    assert least_sign_p(5) == 0.0625 and least_sign_p(6) < 0.05


rounded = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


@given(rounded, st.randoms(use_true_random=False))
def test_rounding_is_no_difference_and_breaks_no_tie(found, rng):
    """The issue's case: n = 20 and p = 0.09 of values that are n = 9 and p = 0.004 without 1e-16."""
    values = [0.37 * each for each in found]
    shaken = [each + rng.uniform(-4e-16, 4e-16) for each in values]
    assert signed_rank(shaken) == signed_rank(values)
    assert sign_test(shaken) == sign_test(values)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20), st.floats(1, 1e9))
def test_the_sign_test_s_ties_do_not_depend_on_the_unit(signs, unit):
    """A difference that is left over by rounding grows with the values that were subtracted."""
    off = [unit * (sign + 1e-16) for sign in [5, *signs]]
    assert sign_test(off) == sign_test([5, *signs])
