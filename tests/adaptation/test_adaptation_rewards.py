"""Rewards come from evaluations alone; an incorrect candidate has none."""

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.adaptation.rewards import REWARDS, rewards_of
from pytest_kernelbench.records import Evaluation, Outcome
from pytest_kernelbench.strategy import Adaptation, Rewards


def correct(speedup):
    return Evaluation(
        source_sha256="a",
        outcome=Outcome.CORRECT,
        speedup=speedup,
        speedup_low=0.9 * speedup,
        speedup_high=1.1 * speedup,
    )


def failed(outcome):
    return Evaluation(source_sha256="a", outcome=outcome, reference_ms=1.0)


def rewards(reward, *evaluations, **settings):
    return rewards_of(evaluations, Adaptation(reward=reward, rewards=Rewards(**settings))).tolist()


@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.CORRECT])
def test_what_is_not_correct_earns_nothing_and_no_bonus(reward, outcome):
    assert rewards(reward, failed(outcome), correct(2.0), correct_bonus=0.01)[0] == 0


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        ("speedup", [0.5, 1.2, 8.0]),
        ("normalised", [0.5 / 1.2, 1.0, 8 / 1.2]),
        ("log", [log(1.5), log(2.2), log(9)]),
        ("fast", [0.0, 1.0, 1.0]),
        ("correct", [1.0, 1.0, 1.0]),
    ],
)
def test_correct_candidates_earn_by_their_speedup(reward, expected):
    earned = rewards(reward, correct(0.5), failed(Outcome.INCORRECT), correct(1.2), correct(8.0), correct_bonus=0.01)
    expected = [value + 0.01 for value in expected]
    assert earned == pytest.approx([expected[0], 0.0, *expected[1:]])


def test_the_sparse_reward_s_threshold_is_declared():
    assert rewards("fast", correct(1.2), correct(2.1), correct(8.0), threshold=2.0) == [0, 0, 1]


@given(speedups=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9), seed=st.randoms())
@pytest.mark.parametrize("reward", REWARDS)
def test_the_order_of_the_samples_changes_no_reward(reward, speedups, seed):
    shuffled = list(speedups)
    seed.shuffle(shuffled)
    in_order = dict(zip(speedups, rewards(reward, *map(correct, speedups)), strict=True))
    assert [in_order[speedup] for speedup in shuffled] == rewards(reward, *map(correct, shuffled))


def test_a_group_without_a_correct_rollout_earns_zeros():
    assert rewards("normalised", failed(Outcome.TIMEOUT), failed(Outcome.VOID)) == [0, 0]
