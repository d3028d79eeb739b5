"""From raw pairs to a speed-up with an interval."""

import math
import random
from dataclasses import asdict
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.clock.timing import (
    CONFIDENCE,
    Timing,
    enough,
    median_interval,
    median_interval_ranks,
    paired_timing,
    sequential_timing,
)
from pytest_kernelbench.evaluation.protocols import PROTOCOLS

durations_ms = st.floats(min_value=1e-3, max_value=1e3)
pairs = st.lists(st.tuples(durations_ms, durations_ms), min_size=1, max_size=60)


def coverage_by_enumeration(n: int, rank: int) -> float:
    """Share of all 2^n ways to fall below or above the median in which the interval holds it."""
    below = [sum(way) for way in product((0, 1), repeat=n)]
    return sum(rank < count < n - rank for count in below) / 2**n


@pytest.mark.parametrize("n", range(1, 15))
def test_the_ranks_are_the_narrowest_that_cover_the_median(n):
    ranks = median_interval_ranks(n)
    if ranks is None:
        assert coverage_by_enumeration(n, 0) < CONFIDENCE
        return
    low, high = ranks
    assert low + high == n - 1
    assert coverage_by_enumeration(n, low) >= CONFIDENCE
    assert low + 1 > n // 2 or coverage_by_enumeration(n, low + 1) < CONFIDENCE


def test_a_median_is_bounded_by_order_statistics_whatever_the_order():
    assert median_interval([5.0, 1.0, 4.0, 2.0, 3.0, 6.0]) == (1.0, 6.0)
    assert median_interval([1.0] * 7, confidence=0.99) is None
    assert median_interval(range(8), confidence=0.99) == (0, 7)


def test_fewer_than_six_pairs_have_no_interval():
    assert [median_interval_ranks(n) is not None for n in range(8)] == [False] * 6 + [True] * 2
    timing = paired_timing([1.0] * 5, [0.5] * 5)
    assert (timing.speedup, timing.speedup_low, timing.speedup_high, timing.pairs) == (2.0, None, None, 5)


@given(pairs, st.floats(min_value=0.01, max_value=100))
def test_a_side_that_is_slower_by_a_factor_moves_the_speedup_by_that_factor(both, factor):
    reference, candidate = zip(*both, strict=True)
    before = paired_timing(reference, candidate)
    after = paired_timing([ms * factor for ms in reference], candidate)
    assert after.speedup == pytest.approx(before.speedup * factor)
    if before.speedup_low is not None:
        assert after.speedup_low == pytest.approx(before.speedup_low * factor)
        assert after.speedup_high == pytest.approx(before.speedup_high * factor)


@given(pairs)
def test_swapped_sides_invert_the_speedup_and_its_interval(both):
    reference, candidate = zip(*both, strict=True)
    forth, back = paired_timing(reference, candidate), paired_timing(candidate, reference)
    assert back.speedup == pytest.approx(1 / forth.speedup)
    if forth.speedup_low is not None:
        assert back.speedup_low == pytest.approx(1 / forth.speedup_high)
        assert back.speedup_high == pytest.approx(1 / forth.speedup_low)


@given(pairs)
def test_the_estimate_lies_in_its_interval(both):
    timing = paired_timing(*zip(*both, strict=True))
    if timing.speedup_low is not None:
        assert timing.speedup_low <= timing.speedup <= timing.speedup_high


@given(st.lists(durations_ms, min_size=11, max_size=40), st.floats(min_value=2, max_value=1e6))
def test_one_slow_moment_moves_one_pair_and_not_the_result(candidate, slow):
    quiet = paired_timing([2 * ms for ms in candidate], candidate)
    disturbed = paired_timing([2 * ms * (slow if n == 0 else 1) for n, ms in enumerate(candidate)], candidate)
    assert disturbed.speedup == pytest.approx(quiet.speedup)


def test_sides_of_unequal_length_are_refused():
    wanted = "one reference duration is needed for each candidate duration, and at least one pair"
    for reference, candidate in (([], []), ([1.0], [])):
        with pytest.raises(ValueError, match=f"^{wanted}$"):
            paired_timing(reference, candidate)


def test_the_sequential_protocol_drops_the_first_trial_and_rounds_to_three_digits():
    timing = sequential_timing([9.0, 2.0, 2.0009], [1e9, 1.0, 1.0])
    assert timing == Timing(
        reference_ms=2.0,
        candidate_ms=1.0,
        speedup=2.0,
        speedup_low=None,
        speedup_high=None,
        pairs=3,
        candidate_times_ms=(1e9, 1.0, 1.0),
    )


def timing_of(low: float, high: float, pairs: int) -> Timing:
    return Timing(
        reference_ms=1.0,
        candidate_ms=1.0,
        speedup=1.0,
        speedup_low=low,
        speedup_high=high,
        pairs=pairs,
        candidate_times_ms=(1.0,) * pairs,
    )


@given(
    name=st.sampled_from(["fast", "full"]),
    low=st.floats(min_value=0.2, max_value=5),
    width=st.floats(min_value=1, max_value=3),
    pairs=st.integers(min_value=6, max_value=200),
)
def test_only_a_claim_and_what_is_plainly_none_stop_before_the_least_number_of_pairs(name, low, width, pairs):
    protocol = PROTOCOLS[name]
    stops = enough(timing_of(low, low * width, pairs), protocol, protocol.margin("cpu"))
    if pairs < protocol.pairs_min:
        assert stops == (low > 1 + protocol.margin("cpu") or low * width < 1 + protocol.margin("cpu") / 2)
    if pairs >= protocol.pairs_max:
        assert stops


@pytest.mark.parametrize(
    ("low", "high", "stops"),
    [
        (0.50, 0.90, True),  # plainly slower
        (0.80, 1.04, True),  # certainly not fast
        (1.10, 1.11, True),  # as narrow as asked
        (1.06, 1.24, True),  # a claim: the judge's clock decides
        (0.90, 1.20, False),
    ],
)
def test_when_timing_stops_between_the_bounds(low, high, stops):
    protocol = PROTOCOLS["fast"]
    assert enough(timing_of(low, high, protocol.pairs_min), protocol, 0.05) is stops


def test_without_an_interval_there_is_never_enough():
    assert not enough(paired_timing([1.0] * 5, [9.0] * 5), PROTOCOLS["fast"], 0.05)


@pytest.mark.parametrize("name", ["fast", "full"])
def test_protocols_stop(name):
    protocol = PROTOCOLS[name]
    assert 6 <= protocol.pairs_min <= protocol.pairs_max
    assert math.isfinite(protocol.half_width)


@pytest.mark.parametrize(("speedup", "pairs", "stops"), [(1.024, 12, True), (1.026, 12, False), (1.024, 8, False)])
def test_what_is_not_near_the_margin_after_twelve_pairs_is_given_up(speedup, pairs, stops):
    timing = Timing(**{**asdict(timing_of(0.9, 1.2, pairs)), "speedup": speedup})
    assert enough(timing, PROTOCOLS["full"], 0.05) is stops


@given(st.floats(min_value=1.5, max_value=4), st.integers(min_value=0, max_value=2**32))
def test_six_pairs_under_half_of_the_margin_are_no_claim_that_more_pairs_would_have_shown(margins, seed):
    # As noisy as the margin is wide.
    margin, noise = 0.05, random.Random(seed)
    sixes = [[math.exp(margins * margin + noise.gauss(0, margin)) for _ in range(6)] for _ in range(200)]
    given_up = sum(
        enough(paired_timing(six, [1.0] * 6), PROTOCOLS["full"], margin) and max(six) < 1 + margin for six in sixes
    )
    assert given_up <= 1


def test_a_timing_becomes_fields_of_an_evaluation():
    told = paired_timing([1.0] * 6, [0.123456789] * 6).to_json()
    assert told["candidate_times_ms"] == (0.123457,) * 6
    assert told["pairs"] == 6 and told["speedup_low"] == pytest.approx(8.1, abs=0.01)
