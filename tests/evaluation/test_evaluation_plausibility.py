"""Evidence that no clock gave."""

from pytest_kernelbench.evaluation.clock.plausibility import beyond_physics
from pytest_kernelbench.evaluation.clock.timing import paired_timing


def timing(candidate_ms, reference_ms=1.0):
    return paired_timing([reference_ms] * 12, [candidate_ms] * 12)


def test_nothing_is_faster_than_the_floor_allows():
    assert beyond_physics(timing(0.5), 0.5, "cuda") is None
    found = beyond_physics(timing(0.4), 0.5, "cuda")
    assert found.flag == "beyond_physics"
    assert found.evidence == "0.4 ms, but what must be moved and multiplied takes at least 0.5 ms here"


def test_a_cpu_may_find_half_of_the_bytes_in_its_caches():
    assert beyond_physics(timing(0.26), 0.5, "cpu") is None
    assert beyond_physics(timing(0.24), 0.5, "cpu").flag == "beyond_physics"
