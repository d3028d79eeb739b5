"""The centre of log-ratios and its exact interval."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from pytest_kernelbench.evaluation.clock.signed_ranks import centre_of, rank_of_bounds

values = st.lists(st.floats(-1, 1), min_size=1, max_size=30)


@pytest.mark.parametrize("n", range(1, 13))
def test_ranks_are_those_that_counting_all_signs_gives(n):
    sums = [sum(signs) for signs in itertools.product(*((0, rank) for rank in range(1, n + 1)))]
    for confidence in (0.8, 0.95, 0.999):
        allowed = [r for r in range(n * (n + 1) // 2 + 1) if 2 * sum(s <= r for s in sums) / 2**n <= 1 - confidence]
        assert rank_of_bounds(n, confidence) == (max(allowed) if allowed else None)


def test_eleven_values_are_the_fewest_with_an_interval_at_99_9_percent_and_it_is_their_range():
    some = [math.sin(number) for number in range(11)]
    assert centre_of(some[:10], 0.999)[1:] == (-math.inf, math.inf)
    assert centre_of(some, 0.999)[1:] == (min(some), max(some))


@given(values)
def test_the_centre_lies_within_its_interval_and_moves_with_the_values(some):
    found = centre_of(some, 0.95)
    assert found.low <= found.middle <= found.high
    assert min(some) <= found.middle <= max(some)
    assert centre_of([-each for each in some], 0.95).middle == pytest.approx(-found.middle, abs=1e-12)


def test_the_interval_is_that_of_wilcoxons_test():
    generator = random.Random(1)
    some = [generator.gauss(0.1, 1) for _ in range(40)]
    found = centre_of(some, 0.95)
    for inside, bound in ((1, found.low), (-1, found.high)):
        p_inside = wilcoxon([each - bound - inside * 1e-9 for each in some], method="exact").pvalue
        p_outside = wilcoxon([each - bound + inside * 1e-9 for each in some], method="exact").pvalue
        assert p_outside <= 0.05 < p_inside


def test_one_pair_in_four_that_is_far_off_to_either_side_moves_the_centre_little():
    generator = random.Random(2)
    some = [generator.gauss(0.0, 0.01) for _ in range(44)]
    for place in range(0, 44, 4):
        some[place] += random.Random(place).choice((-1.0, 1.0))
    assert abs(centre_of(some, 0.999).middle) < 0.01


@pytest.mark.parametrize("n", [11, 22, 44])
def test_the_truth_is_in_the_interval_as_often_as_it_says(n):
    generator = random.Random(3)
    # Noise with a long tail to one side, which falls on either turn alike.
    noise = [[generator.expovariate(1.0) - generator.expovariate(1.0) for _ in range(n)] for _ in range(2000)]
    covered = sum(found.low <= 0 <= found.high for found in (centre_of(each, 0.9) for each in noise))
    assert covered >= 0.88 * 2000


def test_no_values_have_no_centre():
    with pytest.raises(ValueError, match="a centre needs at least one value"):
        centre_of([], 0.95)
