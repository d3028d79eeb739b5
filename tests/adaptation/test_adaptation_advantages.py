"""Advantages: worked by hand, against brute force, and 0 where there is nothing to tell."""

from itertools import combinations
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.adaptation.advantages import ADVANTAGES
from pytest_kernelbench.strategy import Adaptation

rewards = st.floats(0, 1000).map(lambda value: round(value, 3))
groups = st.lists(st.lists(rewards, min_size=2, max_size=9).map(np.array), min_size=1, max_size=4)


def advantages(method, *groups, **settings):
    return ADVANTAGES[method]([np.array(group, dtype=float) for group in groups], Adaptation.from_json(settings))


@pytest.mark.parametrize("method", ADVANTAGES)
@given(reward=rewards, n=st.integers(2, 40), tasks=st.integers(1, 3))
def test_equal_rewards_get_exactly_zero_and_not_nan(method, reward, n, tasks):
    for group in advantages(method, *[[reward] * n] * tasks):
        assert group.tolist() == [0.0] * n


@pytest.mark.parametrize("method", ADVANTAGES)
@given(groups=groups)
def test_every_advantage_is_finite_and_a_better_reward_never_has_a_lower_one(method, groups):
    for group, credited in zip(groups, advantages(method, *groups), strict=True):
        assert credited.shape == group.shape and np.isfinite(credited).all()
        in_order = credited[np.argsort(group, kind="stable")]
        assert (np.diff(in_order) >= -1e-9 * (1 + np.abs(in_order[1:]))).all()


def test_batch_compares_over_all_tasks():
    first, second = advantages("batch", [0.0, 0.0], [1.0, 3.0])
    sd = np.std([0, 0, 1, 3], ddof=1)
    assert first.tolist() == pytest.approx([-1 / sd, -1 / sd])
    assert second.tolist() == pytest.approx([0, 2 / sd])


def test_grpo_compares_within_a_task_and_dr_grpo_does_not_divide():
    assert advantages("grpo", [0.0, 2.0], [10.0, 30.0])[1].tolist() == pytest.approx([-(0.5**0.5), 0.5**0.5])
    assert [each.tolist() for each in advantages("dr-grpo", [0.0, 2.0], [5.0, 5.0])] == [[-1, 1], [0, 0]]


@given(group=st.lists(rewards, min_size=2, max_size=7), k=st.integers(2, 8))
def test_maxk_is_what_a_rollout_adds_to_the_best_of_k_of_which_it_is_one(group, k):
    (credited,) = advantages("maxk", group, max_of=k)
    k = min(k, len(group))
    for place, value in enumerate(credited):
        subsets = [subset for subset in combinations(range(len(group)), k) if place in subset]
        adds = [max(group[i] for i in subset) - max(group[i] for i in subset if i != place) for subset in subsets]
        assert value == pytest.approx(sum(adds) / len(subsets), abs=1e-9 * (1 + max(group)))


@given(correct=st.integers(0, 8), wrong=st.integers(0, 8), k=st.integers(2, 5))
def test_maxk_of_rewards_0_and_1_is_the_gradient_of_pass_at_k(correct, wrong, k):
    """d pass@k / d p_i: k (1 - p)^(k - 1), here estimated over subsets of the wrong ones."""
    n = correct + wrong
    if n < k:
        return
    (credited,) = advantages("maxk", [1.0] * correct + [0.0] * wrong, max_of=k)
    alone = np.prod([(wrong - i) / (n - 1 - i) for i in range(k - 1)]) if correct else 0.0
    assert credited[:correct].tolist() == pytest.approx([alone] * correct, abs=1e-9)
    assert credited[correct:].tolist() == [0.0] * wrong


@given(group=st.lists(rewards, min_size=3, max_size=32), scale=st.floats(0.01, 100))
def test_entropic_does_not_depend_on_the_scale_of_rewards(group, scale):
    (once,) = advantages("entropic", group)
    (scaled,) = advantages("entropic", [scale * reward for reward in group])
    assert scaled.tolist() == pytest.approx(once.tolist(), rel=1e-3, abs=1e-3)


def test_entropic_weights_are_ln_2_nats_from_uniform():
    (credited,) = advantages("entropic", [0.0, 1.0, 2.0, 3.0, 7.0])
    # A = w_i / mean of the others - 1, so the shares are (A + 1) / (A + n), up to what makes them sum to 1.
    shares = (credited + 1) / (credited + 5)
    assert shares.sum() == pytest.approx(1)
    assert sum(share * log(5 * share) for share in shares) == pytest.approx(log(2), abs=1e-6)


def test_entropic_lets_one_outlier_take_nearly_all():
    (credited,) = advantages("entropic", [1.0] * 31 + [860.0])
    assert credited[-1] > 10 > 0 > credited[0]


@pytest.mark.parametrize("method", ADVANTAGES)
def test_a_single_rollout_says_nothing(method):
    (credited,) = advantages(method, [3.0])
    assert credited.tolist() == [0.0]
