"""The test of whether a trajectory is flat, and the value that the best step shows if it is."""

from itertools import product
from math import comb, prod
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, chi2_contingency

from pytest_kernelbench.report.stats import best_of_flat, homogeneity

# arXiv 2602.07670, subset 1, seed 42: fast rollouts of 32 at each step.
STEPS = {
    "4": (3, 9, 15, 8, 7, 8),
    "5": (1, 5, 2, 1, 1, 3),
    "12": (32, 32, 32, 32, 32, 32),
    "14": (12, 7, 6, 7, 5, 13),
    "15": (12, 11, 13, 10, 13, 10),
}
STRATA = [[(fast, 32) for fast in row] for row in STEPS.values()]
TOTALS = [[(sum(column), 160) for column in zip(*STEPS.values(), strict=True)]]


def test_the_published_trajectory_is_compatible_with_no_change():
    assert [round(100 * fast / n, 1) for fast, n in TOTALS[0]] == [37.5, 40.0, 42.5, 36.2, 36.2, 41.2]
    test = homogeneity(TOTALS)
    assert test.degrees == 5 and test.p == pytest.approx(0.79, abs=0.005)


def test_choosing_the_best_of_six_steps_gains_five_points_where_nothing_changed():
    flat = sum(fast for fast, _ in TOTALS[0]) / 960
    assert best_of_flat(TOTALS, seed=0) - flat == pytest.approx(0.049, abs=0.003)
    # Tasks differ among themselves, which leaves less to chance.
    assert best_of_flat(STRATA, seed=0) - flat == pytest.approx(0.037, abs=0.003)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=5))
def test_one_stratum_is_scipy_s_contingency_test(rows):
    test = homogeneity([[(good, good + bad) for good, bad in rows]])
    expected = chi2_contingency(rows, correction=False)
    assert test.statistic == pytest.approx(expected.statistic, abs=1e-9)
    assert test.p == pytest.approx(expected.pvalue)


tables = st.lists(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=3, max_size=3), min_size=1, max_size=4
)


@settings(deadline=None)
@given(tables)
def test_several_strata_are_the_sum_of_scipy_s_contingency_tests(strata):
    each = [chi2_contingency(rows, correction=False) for rows in strata]
    test = homogeneity([[(good, good + bad) for good, bad in rows] for rows in strata])
    assert test.statistic == pytest.approx(sum(one.statistic for one in each), abs=1e-9)
    assert test.degrees == sum(one.dof for one in each)
    assert test.p == pytest.approx(chi2.sf(test.statistic, test.degrees))


few = st.integers(1, 2).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(few, min_size=2, max_size=2), min_size=1, max_size=2))
def test_the_best_of_flat_steps_is_the_mean_over_every_outcome(strata):
    rates = [sum(good for good, _ in counts) / sum(n for _, n in counts) for counts in strata]
    cells = [(rate, n) for rate, counts in zip(rates, strata, strict=True) for _, n in counts]
    expected = 0.0
    for outcome in product(*(range(n + 1) for _, n in cells)):
        chance = prod(
            comb(n, good) * rate**good * (1 - rate) ** (n - good)
            for good, (rate, n) in zip(outcome, cells, strict=True)
        )
        shares = [good / n for good, (_, n) in zip(outcome, cells, strict=True)]
        expected += chance * max(mean(shares[step::2]) for step in range(2))
    assert best_of_flat(strata, seed=0) == pytest.approx(expected, abs=0.035)  # 4,000 resamples


def test_strata_add_up_and_those_that_cannot_differ_say_nothing():
    one = homogeneity(STRATA[:1])
    assert homogeneity([*STRATA[:1], STRATA[2]]) == one
    two = homogeneity(STRATA[:2])
    assert two.degrees == 10 and two.statistic > one.statistic


def test_a_trajectory_that_cannot_differ_has_no_test():
    assert homogeneity([STRATA[2]]) is None and homogeneity([]) is None


def test_without_samples_there_is_nothing_to_choose():
    assert best_of_flat([[(0, 0), (1, 2)]], seed=0) is None
