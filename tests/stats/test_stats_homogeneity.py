import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from pytest_kernelbench.stats import best_of_flat, homogeneity

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


def test_strata_add_up_and_those_that_cannot_differ_say_nothing():
    one = homogeneity(STRATA[:1])
    assert homogeneity([*STRATA[:1], STRATA[2]]) == one
    two = homogeneity(STRATA[:2])
    assert two.degrees == 10 and two.statistic > one.statistic


def test_a_trajectory_that_cannot_differ_has_no_test():
    assert homogeneity([STRATA[2]]) is None and homogeneity([]) is None


def test_without_samples_there_is_nothing_to_choose():
    assert best_of_flat([[(0, 0), (1, 2)]], seed=0) is None
