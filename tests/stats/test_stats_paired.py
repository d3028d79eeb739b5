from itertools import product
from math import isclose
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from pytest_kernelbench.stats import cohens_h, least_sign_p, sign_test, sign_test_power, signed_rank, tasks_needed

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
@given(st.lists(st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]) | st.floats(-10, 10), min_size=1, max_size=8))
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
@given(st.lists(st.floats(-10, 10).filter(bool), min_size=1, max_size=40, unique_by=abs))
def test_without_ties_the_signed_rank_test_is_scipy_s(ratios):
    expected = wilcoxon(ratios, method="exact")
    assert signed_rank(ratios) == (len(ratios), expected.statistic, pytest.approx(expected.pvalue))


@given(st.integers(1, 6), st.floats(0, 0.5), st.floats(0, 0.5))
def test_power_is_the_chance_of_an_outcome_that_the_test_rejects(tasks, win_rate, loss_rate):
    chance = {1: win_rate, -1: loss_rate, 0: 1 - win_rate - loss_rate}
    power = 0.0
    for outcome in product([1, -1, 0], repeat=tasks):
        if sign_test(outcome).p_two_sided <= 0.05:
            probability = 1.0
            for each in outcome:
                probability *= chance[each]
            power += probability
    assert isclose(sign_test_power(tasks, win_rate, loss_rate), power, abs_tol=1e-9)


def test_five_tasks_cannot_show_anything_at_5_percent():
    assert least_sign_p(5) == 0.0625 and sign_test_power(5, 1.0, 0.0) == 0.0
    assert least_sign_p(6) < 0.05 and sign_test_power(6, 1.0, 0.0) == 1.0


@pytest.mark.parametrize(("win_rate", "loss_rate", "tasks"), [(0.3, 0.0, 25), (0.35, 0.05, 36), (0.4, 0.1, 46)])
def test_a_gain_of_30_points_takes_tens_of_tasks_to_show(win_rate, loss_rate, tasks):
    assert tasks_needed(win_rate, loss_rate) == tasks
    assert sign_test_power(tasks, win_rate, loss_rate) >= 0.8 > sign_test_power(tasks - 2, win_rate, loss_rate)


def test_no_number_of_tasks_shows_what_is_not_there():
    assert tasks_needed(0.2, 0.2) is None
    assert tasks_needed(0.201, 0.2) is None
