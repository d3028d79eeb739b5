from math import comb, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.stats import clustered_bootstrap, wilson


@given(st.integers(1, 200), st.data())
def test_wilson_s_interval_holds_the_rate_and_lies_in_the_unit_interval(n, data):
    successes = data.draw(st.integers(0, n))
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert low < high


def test_wilson_s_interval_agrees_with_scipy_s():
    # scipy.stats.binomtest(7, 20).proportion_ci(method="wilson"), whose import alone takes longer than this file.
    low, high = wilson(7, 20)
    assert isclose(low, 0.1811918241010821) and isclose(high, 0.5671457233147637)


def test_no_failure_in_five_tasks_is_not_certainty():
    low, high = wilson(5, 5)
    assert round(low, 2) == 0.57 and high == 1.0


def test_wilson_s_interval_covers_a_rate_about_as_often_as_it_says():
    n, rate = 20, 0.3
    inside = [successes for successes in range(n + 1) if wilson(successes, n).low <= rate <= wilson(successes, n).high]
    coverage = sum(comb(n, successes) * rate**successes * (1 - rate) ** (n - successes) for successes in inside)
    assert 0.93 < coverage < 0.99


def test_a_rate_of_no_trials_has_no_interval():
    assert wilson(0, 0) is None


def test_more_successes_than_trials_are_refused():
    with pytest.raises(ValueError, match=r"^6 successes in 5 trials$"):
        wilson(6, 5)


def test_the_bootstrap_is_repeatable_by_its_seed():
    values = [i**0.5 for i in range(30)]
    assert clustered_bootstrap(values, seed=1) == clustered_bootstrap(values, seed=1)
    assert clustered_bootstrap(values, seed=1) != clustered_bootstrap(values, seed=2)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=8))
def test_the_bootstrap_interval_lies_within_the_tasks_values(values):
    low, high = clustered_bootstrap(values, seed=0, resamples=50)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_the_bootstrap_of_many_tasks_is_near_the_normal_interval():
    values = [i % 2 for i in range(400)]
    low, high = clustered_bootstrap(values, seed=0)
    assert abs(low - (0.5 - 1.96 * 0.025)) < 0.01 and abs(high - (0.5 + 1.96 * 0.025)) < 0.01


def test_one_task_says_nothing_about_the_spread_between_tasks():
    assert clustered_bootstrap([0.4], seed=0) is None
