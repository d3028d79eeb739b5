"""The random order of candidates depends on seed and task, is uniform, and stays when a candidate is removed."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.selection import Visible
from pytest_kernelbench.selection.uniform import in_random_order


def correct(indices, task="level1/1_x"):
    return [Visible(task=task, index=index) for index in indices]


@given(st.sets(st.integers(0, 63), min_size=1), st.integers(0, 1000), st.data())
def test_a_candidate_keeps_its_place_when_another_drops_out(indices, seed, data):
    dropped = data.draw(st.sampled_from(sorted(indices)))
    order = in_random_order(correct(indices), seed)
    rest = in_random_order(correct(indices - {dropped}), seed)
    assert rest == [index for index in order if index != dropped]


def test_seed_and_task_each_change_the_order():
    order = in_random_order(correct(range(20)), 0)
    assert order != in_random_order(correct(range(20)), 1)
    assert order != in_random_order(correct(range(20), task="level1/2_y"), 0)
    assert order == in_random_order(correct(reversed(range(20))), 0)


def test_every_candidate_comes_first_about_equally_often():
    firsts = Counter(in_random_order(correct(range(5)), seed)[0] for seed in range(1000))
    # Mean 200, standard deviation 12.6.
    assert all(150 < firsts[index] < 250 for index in range(5))
