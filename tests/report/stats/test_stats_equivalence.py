from itertools import product
from math import inf, isclose
from statistics import mean

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.report.stats import any_success, equivalent_k, equivalent_k_interval


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


groups = st.lists(st.integers(4, 6).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=2, max_size=3)


@settings(deadline=None, max_examples=40)
@given(groups, st.data())
def test_the_interval_leaves_out_as_much_of_all_resamples_as_it_should(counts, data):
    """Each of the T^T resamples has an equivalent K of its own; the interval holds half of them and ends in such."""
    scores = [data.draw(st.sampled_from([0.0, 0.25, 0.5, 0.75])) for _ in counts]
    if not any(scores):
        return
    every = sorted(
        equivalent_k([counts[task] for task in drawn], mean(scores[task] for task in drawn))
        for drawn in product(range(len(counts)), repeat=len(counts))
    )
    low, high = equivalent_k_interval([[each] for each in counts], scores, seed=0, resamples=4000, confidence=0.5)
    for end in (low, high):
        # A curve is followed in straight lines between whole K.
        assert any(end == each or abs(end - each) < 0.35 for each in every)
    held = mean(low - 0.35 <= each <= high + 0.35 for each in every)
    assert held >= 0.45


def test_tasks_that_agree_leave_no_doubt():
    low, high = equivalent_k_interval([[(64, 16)]] * 4, [any_success(64, 16, 3)] * 4, seed=0)
    assert low == pytest.approx(3.0) and high == pytest.approx(3.0)


def test_the_interval_is_open_where_a_resample_is_beyond_what_was_drawn():
    counts, scores = [[(8, 4)]] * 3 + [[(8, 0)]] * 3, [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    low, high = equivalent_k_interval(counts, scores, seed=0)
    assert numpy.isfinite(low) and high == inf


def test_one_task_and_scores_of_nothing_have_no_interval():
    assert equivalent_k_interval([[(8, 4)]], [0.5], seed=0) is None
    assert equivalent_k_interval([[(8, 4)], [(8, 0)]], [0.0, 0.0], seed=0) is None
