from itertools import product
from math import comb, isclose, sqrt

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, t

from pytest_kernelbench.stats import (
    clustered_band,
    clustered_bootstrap,
    clustered_rate,
    clustered_rate_band,
    median_interval,
    wilson,
)


@given(st.integers(1, 200), st.data())
def test_wilson_s_interval_holds_the_rate_and_lies_in_the_unit_interval(n, data):
    successes = data.draw(st.integers(0, n))
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n <= high <= 1
    assert low < high


def test_wilson_s_interval_agrees_with_scipy_s():
    # scipy.stats.binomtest(7, 20).proportion_ci(method="wilson")
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


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=8, unique=True))
def test_the_bootstrap_interval_lies_within_the_tasks_values(values):
    low, high = clustered_bootstrap(values, seed=0, resamples=50)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(-5, 5), min_size=4, max_size=5, unique=True))
def test_the_bootstrap_leaves_out_as_much_of_all_resamples_as_it_should(values):
    """Of the T^T equally likely resamples; Student's t moves the percentiles of so few tasks far out."""
    means = [sum(drawn) / len(drawn) for drawn in product(values, repeat=len(values))]
    low, high = clustered_bootstrap(values, seed=0, resamples=40_000, confidence=0.5)
    tasks = len(values)
    tail = norm.cdf(-sqrt(tasks / (tasks - 1)) * t.ppf(0.75, tasks - 1))
    for beyond, within in (
        (sum(mean < low - 1e-9 for mean in means), sum(mean <= low + 1e-9 for mean in means)),
        (sum(mean > high + 1e-9 for mean in means), sum(mean >= high - 1e-9 for mean in means)),
    ):
        assert beyond / len(means) <= tail + 0.01 and within / len(means) >= tail - 0.01


def test_the_bootstrap_of_many_tasks_is_near_the_normal_interval():
    values = [i % 2 for i in range(400)]
    low, high = clustered_bootstrap(values, seed=0)
    assert abs(low - (0.5 - 1.96 * 0.025)) < 0.01 and abs(high - (0.5 + 1.96 * 0.025)) < 0.01


def test_one_task_says_nothing_about_the_spread_between_tasks():
    assert clustered_bootstrap([0.4], seed=0) is None and clustered_bootstrap([], seed=0) is None
    assert clustered_rate([0.4]) is None and clustered_rate([]) is None
    assert clustered_rate([1.0]) == wilson(1, 1)


def test_tasks_that_agree_say_nothing_about_how_others_would_differ():
    assert clustered_bootstrap([0.2, 0.2, 0.2], seed=0) is None
    assert clustered_rate([0.0] * 20) == pytest.approx(wilson(0, 20))
    assert clustered_rate([1.0] * 20) == pytest.approx(wilson(20, 20))
    assert clustered_rate([1e-6] * 20) == pytest.approx(wilson(0, 20), abs=1e-3)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_tasks_that_say_yes_or_no_have_wilson_s_own_interval(votes):
    assert clustered_rate(votes) == pytest.approx(wilson(sum(votes), len(votes)))


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_the_interval_of_a_rate_holds_it_and_lies_in_the_unit_interval(rates):
    low, high = clustered_rate(rates)
    assert 0 <= low <= sum(rates) / len(rates) + 1e-12 and sum(rates) / len(rates) - 1e-12 <= high <= 1
    assert low < high


counts = st.lists(st.integers(1, 8).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=2, max_size=8)


@given(counts)
def test_trials_are_worth_as_many_as_the_spread_between_tasks_leaves_of_them(counts):
    """Both ends solve Wilson's equation for the moderated variance of a ratio over tasks."""
    successes, trials = zip(*counts, strict=True)
    rate, tasks = sum(successes) / sum(trials), len(counts)
    if rate in (0, 1) or all(n == 1 for n in trials):
        return
    alike = sum(trials) ** 2 / sum(n * n for n in trials)
    found = tasks / (tasks - 1) * sum((good - rate * n) ** 2 for good, n in counts) / sum(trials) ** 2
    prior = 0.5 / (alike * rate * (1 - rate))
    variance = ((tasks - 1) * found + prior * rate * (1 - rate) / alike) / (tasks - 1 + prior)
    n, quantile = rate * (1 - rate) / variance, t.ppf(0.975, tasks - 1 + prior)
    for end in clustered_rate(successes, trials):
        assert (end - rate) ** 2 == pytest.approx(quantile**2 * end * (1 - end) / n, abs=1e-9)


@given(st.integers(1, 14))
def test_the_interval_of_a_median_leaves_out_at_most_one_outcome_in_twenty(n):
    """Every way in which n values may lie around their median is equally likely."""
    found = median_interval(list(range(n)))
    if found is None:
        assert 2 / 2**n > 0.05
        return
    low, high = (int(end) for end in found)
    outcomes = [sum(signs) for signs in product([0, 1], repeat=n)]  # how many values are below the median

    def held(first: int, last: int) -> float:
        return sum(first < below <= last for below in outcomes) / len(outcomes)

    assert held(low, high) >= 0.95 and low == n - 1 - high
    assert low + 1 >= n - 1 - low or held(low + 1, high - 1) < 0.95


def test_samples_of_one_task_do_not_narrow_what_is_known_of_tasks():
    assert clustered_rate([1, 32, 9], [4, 128, 36]) == pytest.approx(clustered_rate([2, 64, 18], [8, 256, 72]))


def test_the_interval_of_a_rate_holds_it_as_often_as_it_says_where_few_tasks_are_ever_solved():
    """Five tasks of three seeds, most with next to no chance: resampling what was seen would hold it 4 times in 10."""
    rng = numpy.random.default_rng(0)
    rates_TX = rng.binomial(3, rng.beta(0.1, 2, size=(5, 2000))) / 3
    low_X, high_X = clustered_rate_band(rates_TX)
    truth = 0.1 / 2.1
    assert ((low_X <= truth) & (truth <= high_X)).mean() > 0.93
    low_X, high_X = clustered_band(rates_TX, seed=1)
    assert ((low_X <= truth) & (truth <= high_X)).mean() < 0.5


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.0, 0.2), min_size=3, max_size=8))
def test_rates_that_become_nothing_leave_an_interval_that_does_not_jump(rates):
    near, at = clustered_rate([1e-7 * rate for rate in rates]), clustered_rate([0.0] * len(rates))
    assert near == pytest.approx(at, abs=1e-3)


def test_the_interval_of_five_log_speed_ups_holds_their_mean_nine_times_in_ten():
    low_X, high_X = clustered_band(numpy.random.default_rng(0).normal(size=(5, 2000)), seed=1)
    assert 0.89 < ((low_X <= 0) & (high_X >= 0)).mean() < 0.96
