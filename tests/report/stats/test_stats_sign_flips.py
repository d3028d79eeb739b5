"""The paired test by exchanging the two sides: p against enumeration, and with more tasks its stated standard error."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.report.stats import sign_flip_test


@settings(deadline=None)
@given(st.lists(st.integers(-20, 20).map(lambda each: each / 7), min_size=1, max_size=7))
def test_p_counts_every_way_to_exchange_the_two(differences):
    observed = abs(sum(differences))
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in product([-1, 1], repeat=len(differences))
    ]
    test = sign_flip_test(differences, seed=0)
    assert test.exact and test.p == pytest.approx(sum(each >= observed - 1e-9 for each in sums) / len(sums))


def test_more_tasks_are_drawn_with_a_stated_error():
    test = sign_flip_test([0.1] * 10 + [-0.1] * 8, seed=0)
    assert not test.exact and test.p == pytest.approx(0.815, abs=0.02) and 0 < test.p_error < 0.01
    assert sign_flip_test([], seed=0) is None and sign_flip_test([0.0, 0.0], seed=0).p == 1.0
