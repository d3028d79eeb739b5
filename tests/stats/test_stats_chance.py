from itertools import product
from math import isclose, prod
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.stats import chance_power, chance_test

trials = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=7)


@given(trials)
def test_p_is_the_chance_of_as_many_successes_over_every_outcome(found):
    successes, rates = zip(*found, strict=True)
    chance_of = {
        outcome: prod(rate if success else 1 - rate for success, rate in zip(outcome, rates, strict=True))
        for outcome in product([False, True], repeat=len(rates))
    }
    above = sum(chance for outcome, chance in chance_of.items() if sum(outcome) >= sum(successes))
    below = sum(chance for outcome, chance in chance_of.items() if sum(outcome) <= sum(successes))
    test = chance_test(successes, rates)
    assert isclose(test.p_one_sided, above, abs_tol=1e-9)
    assert isclose(test.p_two_sided, min(1.0, 2 * min(above, below)), abs_tol=1e-9)
    assert test.p_two_sided >= test.least_p - 1e-9 or sum(successes) not in (0, len(successes))


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.sampled_from("ab"))))
def test_trials_of_one_task_succeed_together(found):
    """One of four equally likely numbers a task decides all its trials: those whose rate is above it succeed."""
    successes, rates, tasks = zip(*found, strict=True) if found else ((), (), ())
    sums = [
        sum(rate > {"a": a, "b": b}[task] for rate, task in zip(rates, tasks, strict=True))
        for a, b in product([0.0, 0.25, 0.5, 0.75], repeat=2)
    ]
    test = chance_test(successes, rates, tasks)
    assert isclose(test.p_one_sided, mean(total >= sum(successes) for total in sums), abs_tol=1e-9)
    below = mean(total <= sum(successes) for total in sums)
    assert isclose(test.p_two_sided, min(1.0, 2 * min(test.p_one_sided, below)), abs_tol=1e-9)


def test_three_seeds_of_a_task_are_worth_no_more_than_the_task():
    one = chance_test([True] * 4, [0.5] * 4)
    three = chance_test([True] * 12, [0.5] * 12, [task for task in "abcd" for _ in range(3)])
    assert three.p_two_sided == pytest.approx(one.p_two_sided)
    assert chance_power([True] * 12, [0.5] * 12, [task for task in "abcd" for _ in range(3)]) == pytest.approx(
        chance_power([True] * 4, [0.5] * 4)
    )


def test_eight_of_ten_is_no_surprise_where_random_choices_succeed_in_six():
    """The paper's selection table: surprisal 8 of 10, random 59.2 %."""
    test = chance_test([True] * 8 + [False] * 2, [0.592] * 10)
    assert test.p_one_sided == pytest.approx(0.15, abs=0.005)


def test_more_trials_make_an_effect_surer_to_be_seen():
    few = chance_power([True, True, False] * 4, [0.3] * 12)
    many = chance_power([True, True, False] * 40, [0.3] * 120)
    assert few.at_observed < many.at_observed
    assert few.tasks_for_80_percent == many.tasks_for_80_percent


def test_where_there_is_no_effect_no_number_of_trials_shows_it():
    assert chance_power([True, False], [0.5, 0.5]).tasks_for_80_percent is None
