"""The curves over distinct programs equal their means over all subsets of the answers, counted one by one."""

from itertools import combinations
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.report.stats import (
    any_success_curve,
    random_program_mean_curve,
    random_program_success_curve,
    random_top_m_success_curve,
    ranked_program_mean_curve,
    top_m_success_curve,
    top_program_success_curve,
)

programs = st.lists(st.tuples(st.booleans(), st.integers(1, 3)), max_size=4)


def draws_of(counts, incorrect):
    """One entry for each candidate: its program's place, or None for an incorrect one."""
    return [place for place, count in enumerate(counts) for _ in range(count)] + [None] * incorrect


def over_subsets(draws, value):
    """The mean of ``value`` of the set of programs over all K-subsets, for every K."""
    n = len(draws)
    return [
        mean(value(sorted({draws[i] for i in chosen} - {None})) for chosen in combinations(range(n), k))
        for k in range(1, n + 1)
    ]


@settings(deadline=None, max_examples=60)
@given(programs, st.integers(0, 3), st.integers(1, 3))
def test_curves_over_programs_are_means_over_all_subsets(found, incorrect, m):
    fast, counts = [each for each, _ in found], [count for _, count in found]
    draws = draws_of(counts, incorrect)
    if not draws:
        return
    values = [1.5 * place - 1 for place in range(len(counts))]

    def taken_at_random(there):
        sets = list(combinations(there, min(m, len(there))))
        return mean(float(any(fast[each] for each in chosen)) for chosen in sets)

    n = len(draws)
    assert top_program_success_curve(fast, counts, n, m) == pytest.approx(
        over_subsets(draws, lambda there: float(any(fast[each] for each in there[:m])))
    )
    assert random_program_success_curve(fast, counts, n, m) == pytest.approx(over_subsets(draws, taken_at_random))
    assert ranked_program_mean_curve(values, counts, n) == pytest.approx(
        over_subsets(draws, lambda there: values[there[0]] if there else 0.0)
    )
    assert random_program_mean_curve(values, counts, n) == pytest.approx(
        over_subsets(draws, lambda there: mean(values[each] for each in there) if there else 0.0)
    )


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(0, 12), st.integers(1, 4))
def test_programs_that_were_drawn_once_are_candidates(fast, incorrect, m):
    n, counts = len(fast) + incorrect, [1] * len(fast)
    assert top_program_success_curve(fast, counts, n, m) == pytest.approx(top_m_success_curve(fast, n, m))
    assert random_program_success_curve(fast, counts, n, m) == pytest.approx(
        random_top_m_success_curve(n, len(fast), sum(fast), m)
    )


def test_a_thousand_candidates_overflow_nothing():
    fast, counts = [True, False] * 20, [25] * 40
    for curve in (
        top_program_success_curve(fast[::-1], counts, 1100, 3),
        random_program_success_curve(fast, counts, 1100, 3),
        random_program_mean_curve([1.0] * 40, counts, 1100),
    ):
        assert (curve[1:] >= curve[:-1] - 1e-9).all() and 0 < curve[0] < 1 and curve[-1] == pytest.approx(1, abs=0.12)
    assert random_program_mean_curve([1.0] * 40, counts, 1100) == pytest.approx(any_success_curve(1100, 1000))


@pytest.mark.parametrize("counts", [[2, 1, 1, 1, 1], [1] * 9, [7, 5, 3, 2, 1]])
def test_where_no_program_is_fast_the_chance_is_none_and_no_rounding_of_it(counts):
    n, slow = sum(counts) + 3, [False] * len(counts)
    for m in (1, 3):
        assert not random_program_success_curve(slow, counts, n, m).any()
        assert not top_program_success_curve(slow, counts, n, m).any()
    # Of all candidates the first-ranked is there for certain, and the fast one is the last.
    assert top_program_success_curve([*slow[1:], True], counts, sum(counts), 1)[-1] == 0
