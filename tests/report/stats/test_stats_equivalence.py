"""The K at which search succeeds as often as a given score, and the interval of that K."""

from math import inf, isclose
from statistics import mean

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.report.stats import (
    any_success,
    clopper_pearson,
    equivalent_k,
    equivalent_k_interval,
    mean_interval,
)


@given(st.lists(st.tuples(st.integers(8, 64), st.integers(1, 8)), min_size=1, max_size=5), st.integers(1, 8))
def test_equivalent_k_finds_the_k_that_any_success_was_computed_at(n_and_f, k):
    score = mean(any_success(n, f, k) for n, f in n_and_f)
    found = equivalent_k(n_and_f, score)
    assert found <= k + 1e-6
    # Nearer to 1 the curve is flat, and many K fit equally well.
    if score < 1 - 1e-6:
        assert isclose(found, k, rel_tol=1e-6)


def test_a_score_under_one_sample_s_is_worth_less_than_one_sample():
    assert 0.4 < equivalent_k([(64, 16)], 0.125) < 0.5


def test_a_score_that_no_k_reaches_is_worth_infinitely_many_samples():
    assert equivalent_k([(64, 16), (64, 0)], 0.75) == inf


of_task = st.integers(4, 6).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
groups = st.lists(of_task, min_size=2, max_size=5)


@settings(deadline=None, max_examples=60)
@given(groups, st.data())
def test_the_interval_holds_every_k_at_which_the_mean_difference_may_be_0(counts, data):
    scores = [data.draw(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])) for _ in counts]
    found = equivalent_k_interval([[each] for each in counts], scores)
    if found is None:
        return
    for k in range(1, 1 + min(n for n, _ in counts)):
        held = mean_interval([score - any_success(n, f, k) for score, (n, f) in zip(scores, counts, strict=True)])
        if held is not None and held.low < -1e-9 and held.high > 1e-9:
            assert found.low <= k <= found.high


@settings(deadline=None, max_examples=40)
@given(st.integers(5, 20), st.data())
def test_few_that_succeed_have_the_exact_interval_of_their_rate(tasks, data):
    """Ten candidates a task, two of them good: the interval holds each K whose success the scores do not rule out."""
    good = data.draw(st.integers(1, 3))
    found = equivalent_k_interval([[(10, 2)]] * tasks, [1.0] * good + [0.0] * (tasks - good))
    exact = clopper_pearson(good, tasks)
    for k in range(1, 11):
        if exact.low + 1e-9 < any_success(10, 2, k) < exact.high - 1e-9:
            assert found.low <= k <= found.high


def test_tasks_that_agree_in_all_say_nothing_of_their_spread():
    assert equivalent_k_interval([[(64, 16)]] * 4, [any_success(64, 16, 3)] * 4) is None


def test_the_interval_is_open_where_the_candidates_drawn_do_not_end_it():
    counts, scores = [[(8, 4)]] * 3 + [[(8, 0)]] * 3, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    low, high = equivalent_k_interval(counts, scores)
    assert 0 <= low < 8 and high == inf
    low, high = equivalent_k_interval([[(8, 1)]] * 19 + [[(8, 0)]], [1.0] * 20)
    assert low == pytest.approx(7.0, abs=0.1) and high == inf


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Choices that are worth two answers, of 8 tasks that are hard to very different degrees."""
    rng = numpy.random.default_rng(0)
    held = []
    for _ in range(150):
        rate_T = rng.beta(0.3, 1.2, 8)
        counts = [[(32, int(f))] for f in rng.binomial(32, rate_T)]
        found = equivalent_k_interval(counts, (rng.random(8) < 1 - (1 - rate_T) ** 2).astype(float).tolist())
        held.append(found is None or found.low <= 2 <= found.high)
    assert numpy.mean(held) >= 0.92


def test_one_task_has_no_interval_and_scores_of_nothing_end_it_at_what_they_rule_out():
    assert equivalent_k_interval([[(8, 4)]], [0.5]) is None
    low, high = equivalent_k_interval([[(8, 4)], [(8, 3)], [(8, 5)], [(8, 2)], [(8, 3)]] * 2, [0.0] * 10)
    assert low == 0 and clopper_pearson(0, 10).high < any_success(8, 3, 1) and 0 < high < 1
