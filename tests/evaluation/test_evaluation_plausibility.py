"""What a timing must survive before it counts."""

import pytest

from pytest_kernelbench.evaluation.plausibility import (
    beyond_physics,
    clock_disagreement,
    hidden_in_pairs,
    hidden_work,
    late_work,
    longest_sweep_ms,
    slowed_reference,
    unseen_saving,
)
from pytest_kernelbench.evaluation.timing import paired_timing


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


def test_a_device_that_goes_on_after_the_call_convicts():
    assert late_work([0.0, 0.02, 0.02], [0.0] * 3) is None
    found = late_work([0.0, 0.2, 0.2], [0.0] * 3)
    assert (found.flag, found.evidence) == ("side_stream", "works for 0.2 ms after its own stream has ended")


def test_a_host_that_is_slow_to_notice_the_end_of_either_side_convicts_nobody():
    assert late_work([0.05] * 3, [0.04] * 3) is None


def test_kernels_that_ran_for_longer_than_the_call_convict():
    assert hidden_work(timing(0.5), 0.5, 1.0, None) is None
    found = hidden_work(timing(0.5), 0.6, 1.0, None)
    assert found.flag == "hidden_work"
    assert found.evidence == "the worker says 0.5 ms a call, and its kernels run for 0.6 ms"


@pytest.mark.parametrize(
    ("candidate_ms", "busy_ms", "wall_ms", "convicts"),
    [
        # What the profiler adds to millions of blocks, the judge's clock does not see.
        (5.1, 5.53, 5.1, False),
        (5.1, 5.53, 5.5, True),
        (5.1, 5.53, None, True),
        # Of a short call, the record tells more than the clock.
        (0.1, 0.12, 0.1, True),
    ],
)
def test_no_kernel_ran_for_longer_than_the_judge_s_clock_can_have_seen(candidate_ms, busy_ms, wall_ms, convicts):
    assert (hidden_work(timing(candidate_ms, 11.0), busy_ms, 11.0, wall_ms) is not None) is convicts


@pytest.mark.parametrize(("control_busy_ms", "convicts"), [(None, False), (1.0, True)])
def test_kernels_without_a_record_convict_where_the_reference_has_one(control_busy_ms, convicts):
    assert (hidden_work(timing(0.5), None, control_busy_ms, None) is not None) is convicts


def test_the_judge_s_clock_must_see_half_of_what_is_saved():
    assert unseen_saving(timing(0.5), 0.74, 1.0, "cuda") is None
    assert unseen_saving(timing(0.5), 0.76, 1.0, "cuda").flag == "clock_disagreement"


def test_a_saving_that_no_clock_can_see_is_not_asked_for():
    assert unseen_saving(timing(0.095, 0.1), 0.11, 0.1, "cuda") is None
    assert unseen_saving(timing(0.94), 0.98, 1.0, "cpu") is None
    assert unseen_saving(timing(0.94), 0.98, 1.0, "cuda").flag == "clock_disagreement"


@pytest.mark.parametrize(
    ("device", "told_ms", "longest_ms"), [("cpu", 0.5, 0.75), ("cuda", 0.5, 0.625), ("cuda", 0.05, 0.075)]
)
def test_a_sweep_that_takes_longer_than_the_worker_tells_convicts(device, told_ms, longest_ms):
    told = timing(told_ms)
    assert longest_sweep_ms(told, device) == pytest.approx(longest_ms)
    assert clock_disagreement(told, longest_ms - 0.001, longest_ms) is None
    found = clock_disagreement(told, 1.0, longest_ms)
    assert found.flag == "clock_disagreement"
    assert found.evidence == f"the worker says {told_ms} ms a call, the judge's clock 1 ms"


@pytest.mark.parametrize(("device", "most_ms"), [("cpu", 1.5), ("cuda", 1.045)])
def test_a_reference_that_is_slower_beside_the_candidate_than_alone_convicts(device, most_ms):
    assert slowed_reference(timing(0.5, most_ms - 0.001), 1.0, device) is None
    assert slowed_reference(timing(0.5, most_ms + 0.001), 1.0, device).flag == "slowed_reference"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_surrounds_a_pair_and_not_the_control_s_is_the_candidate_s_call(device):
    claimed = timing(0.4)
    assert hidden_in_pairs(claimed, 0.5, 0.3, 1.0, device) is None
    # Half of what it claims to save is seen: it may be that it finds the caches colder than it says.
    assert hidden_in_pairs(claimed, 0.59, 0.3, 1.0, device) is None
    found = hidden_in_pairs(claimed, 0.7, 0.3, 1.0, device)
    assert found.flag == "clock_disagreement"
    assert found.evidence.endswith("the judge's clock 0.8 ms")
