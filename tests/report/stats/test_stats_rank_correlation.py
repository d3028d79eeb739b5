"""Spearman's coefficient and its partial form, against scipy and against the values that the paper published."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pytest_kernelbench.report.stats import partial_spearman, spearman

columns = st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=4, max_size=30)


@settings(deadline=None)
@given(columns)
def test_spearman_agrees_with_scipy_s_ties_included(rows):
    x, y, _ = zip(*rows, strict=True)
    found = spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found is None
        return
    expected = stats.spearmanr(x, y)
    assert found.rho == pytest.approx(expected.statistic, abs=1e-9)
    if len(rows) >= 20 and abs(found.rho) < 1:
        assert found.p == pytest.approx(expected.pvalue, abs=1e-9)


@settings(deadline=None)
@given(columns)
def test_the_partial_coefficient_is_the_correlation_of_what_ranks_of_length_leave_over(rows):
    ranks = [stats.rankdata(each) - (len(rows) + 1) / 2 for each in zip(*rows, strict=True)]
    found = partial_spearman(*zip(*rows, strict=True))
    x, y, z = ranks
    if not z.any() or not x.any() or not y.any():
        return
    rest = [each - z * (each @ z) / (z @ z) for each in (x, y)]
    norm = numpy.sqrt((rest[0] @ rest[0]) * (rest[1] @ rest[1]))
    if norm < 1e-6:
        assert found is None
    else:
        assert found.rho == pytest.approx(rest[0] @ rest[1] / norm, abs=1e-6)


def test_the_paper_s_partial_coefficient_is_out_of_reach_of_its_raw_ones():
    """-0.047 raw and -0.039 with length: no correlation of score and length gives 0.003 (algorithms, point 13)."""
    xy, yz = -0.047, -0.039
    xz = numpy.linspace(-0.999, 0.999, 4001)
    partial = (xy - xz * yz) / numpy.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial.max() == pytest.approx(-0.026, abs=1e-3)


def test_an_order_of_three_is_not_significant_however_perfect():
    assert spearman([1, 2, 3], [1, 2, 3]) == (1.0, pytest.approx(1 / 3))


def test_a_length_that_does_not_vary_takes_nothing_out():
    x, y = [1, 2, 3, 4, 5], [2, 1, 4, 3, 5]
    assert partial_spearman(x, y, [7] * 5) == spearman(x, y)


def test_too_few_pairs_have_no_correlation():
    assert spearman([1, 2], [1, 2]) is None


@settings(deadline=None)
@given(columns, st.lists(st.sampled_from([-4e-16, 0.0, 3e-16]), min_size=30, max_size=30))
def test_values_that_differ_by_rounding_have_the_same_rank(rows, off):
    x, y, z = zip(*rows, strict=True)
    moved = [each / 10 + rounding for each, rounding in zip(x, off, strict=False)]
    assert spearman(moved, y) == spearman(x, y)
    assert partial_spearman(moved, y, z) == partial_spearman(x, y, z)


def test_infinite_values_have_ranks():
    assert spearman([-numpy.inf, -numpy.inf, 0.0, numpy.inf], [1, 1, 2, 3]).rho == 1
