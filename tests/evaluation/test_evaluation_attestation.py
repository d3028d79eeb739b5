"""Made-up turns drive the code that decides on claims: which claims count, and how often a decision is wrong."""

import math
import random
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.clock import attestation
from pytest_kernelbench.evaluation.clock.attestation import MOST_SERIES, Plan, decide, measure, plan_for
from pytest_kernelbench.evaluation.clock.estimates import Series, difference_of, estimate, log_ratios

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from attestation_simulated import KINDS, MadeUpMachine, Noise, shares

PLAN = Plan(margin=0.01, between=0.01, gives_up=True)
middles = st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=MOST_SERIES)


@pytest.fixture(autouse=True)
def same_order_of_turns(monkeypatch):
    monkeypatch.setattr(attestation, "_random", random.Random(0))


def series_at(*logs, noise=0.001):
    return [Series(11, log, log - noise, log + noise) for log in logs]


@pytest.mark.parametrize("kind", KINDS)
def test_identical_kernels_with_forged_proposals_do_not_count(kind):
    plan = replace(PLAN, between=max(PLAN.between, KINDS[kind].assumed))
    counted, covered = shares(KINDS[kind], plan, 60, truth=1.0, call_s=None, seed=1)
    # Where processes differ by more than the margin, as much as is assumed, 25 of 6,000 counted.
    assert counted <= bool(KINDS[kind].assumed)
    assert covered >= 54


def test_three_percent_of_a_millisecond_count_on_a_gpu():
    counted, covered = shares(Noise(), PLAN, 60, truth=1.03, call_s=1e-3, seed=2)
    assert counted >= 54
    assert covered >= 54


def test_a_plainly_faster_kernel_takes_two_series_and_a_slower_one_takes_one():
    for truth, processes in ((2.0, 2), (0.9, 1)):
        machine = MadeUpMachine(Noise(), truth=truth, call_s=1e-3, generator=random.Random(3))
        seen = []

        @contextmanager
        def counted(number, machine=machine, seen=seen):
            seen.append(number)
            with machine.processes(number) as two:
                yield two

        assert measure(counted, PLAN).counted is (truth > 1)
        assert seen == list(range(processes))


def test_one_series_is_never_enough_to_count():
    assert decide(series_at(1.0), PLAN, 0.0).counted is None
    assert decide(series_at(1.0, 1.0), PLAN, 0.0).counted is True


def test_where_processes_differ_more_than_was_assumed_the_interval_is_as_wide_as_they_show():
    agreeing, differing = estimate(series_at(0.1, 0.1), 0.01), estimate(series_at(0.0, 0.2), 0.01)
    assert agreeing.speedup == pytest.approx(differing.speedup)
    assert differing.low < 1 < agreeing.low


def test_a_noisy_series_does_not_spoil_the_others():
    # As of level1/44 on an H200.
    noise = (0.99, 0.13, 0.1, 0.05, 0.08, 0.06)
    series = [Series(20, 0.114, 0.114 - each, 0.114 + each) for each in noise]
    found, without = estimate(series, 0.0141), estimate(series[1:], 0.0141)
    assert found.speedup == pytest.approx(math.exp(0.114))
    assert 1.07 < without.low < found.low + 0.001 < found.speedup


def test_centres_that_noise_explains_tell_of_no_difference_between_processes():
    noisy = [Series(12, middle, middle - 0.4, middle + 0.4) for middle in (2.0, 2.1)]
    assert not difference_of(noisy, 0.01).is_told
    assert difference_of(series_at(2.0, 2.1), 0.01).is_told


def test_a_claim_that_stays_between_both_is_given_up_with_its_reason():
    verdict = decide(series_at(*[0.012] * MOST_SERIES), PLAN, 0.0)
    assert verdict.counted is False
    assert verdict.because == "by the judge's clock it is 1.012 [1.002, 1.022] times as fast, and must be over 1.01"


def test_a_claim_that_further_series_would_hardly_make_count_is_given_up_and_a_gate_is_not():
    short = Plan(margin=0.02, between=0.16, gives_up=True)
    # Six series are needed, and a mean over 0.177 of them: 1.645 standard errors above 0.01 are 0.16.
    assert decide(series_at(0.01, 0.01), short, 0.0).counted is False
    assert decide(series_at(0.01), short, 0.0).counted is None
    assert decide(series_at(0.05, 0.05), short, 0.0).counted is None
    assert decide(series_at(0.05, 0.05, 0.05), short, 0.0).counted is False
    assert decide(series_at(0.05, 0.05, 0.05), replace(short, gives_up=False), 0.0).counted is None


def test_noise_within_series_makes_a_claim_hopeless_too():
    # Of six series with such intervals the mean has one of 0.04 to each side, so a mean over 0.06 is needed; 1.645
    # standard errors of what is still to come are 0.03.
    noisy = {"noise": 0.098}
    assert decide(series_at(0.02, 0.02), PLAN, 0.0).counted is None
    assert decide(series_at(0.02, 0.02, **noisy), PLAN, 0.0).counted is False
    assert decide(series_at(0.04, 0.04, **noisy), PLAN, 0.0).counted is None
    assert decide(series_at(0.02, 0.02, noise=math.inf), PLAN, 0.0).counted is None


def test_beside_other_programs_no_claim_counts():
    verdict = decide(series_at(1.0, 1.0), PLAN, 0.26)
    assert (verdict.counted, verdict.because) == (
        False,
        "other processes used 26% of the cores while it was timed",
    )
    assert decide(series_at(1.0, 1.0), PLAN, 0.25).counted is True


@given(middles, st.floats(0, 1))
def test_what_counts_is_above_the_margin_and_lies_in_its_interval(logs, share):
    verdict = decide(series_at(*logs), PLAN, share)
    found = verdict.estimate
    assert found.low <= found.speedup <= found.high
    if verdict.counted:
        assert found.low > 1.01 and len(logs) >= 2 and share <= 0.25
    assert bool(verdict.because) == (verdict.counted is False)


def test_series_that_differ_by_far_more_than_is_assumed_are_given_up_after_three():
    short = Plan(margin=0.02, between=0.0412, gives_up=True)
    # Student's distribution asks for 3.5 standard errors of six series: a mean of 0.15 at this spread of 0.1.
    apart = series_at(-0.04, 0.06, 0.16)
    assert decide(apart[1:], short, 0.0).counted is None
    assert decide(apart, short, 0.0).counted is False
    assert decide(series_at(0.02, 0.06, 0.10), short, 0.0).counted is None


def test_only_the_time_of_series_counts_towards_a_plan_s_seconds():
    machine = MadeUpMachine(Noise(), truth=1.05, call_s=1e-3, generator=random.Random(3))
    seen = []

    @contextmanager
    def slow_to_start(number):
        time.sleep(0.2)
        with machine.processes(number) as two:
            seen.append(number)
            yield two

    assert measure(slow_to_start, replace(PLAN, seconds=0.2)).counted is True
    assert len(seen) > 1


def test_what_surrounds_the_calls_is_in_neither_side():
    assert log_ratios([0.0051], [0.0101], 0.0001) == [pytest.approx(math.log(2))]


@given(st.floats(1e-6, 1.0), st.floats(1e-6, 1.0), st.floats(0, 1.0))
def test_calls_that_take_no_longer_than_an_empty_turn_are_still_a_number(own_s, control_s, empty_s):
    (log,) = log_ratios([own_s], [control_s], empty_s)
    assert math.isfinite(log)
    assert log == 0.0 or (log > 0) == (control_s > own_s)


def test_of_calls_that_a_host_can_hardly_launch_as_fast_more_is_asked():
    assert plan_for(0.01, "cpu", 0.02).between == 0.02
    assert plan_for(0.01, "cuda", 1.0).between == pytest.approx(0.01, rel=0.02)
    assert plan_for(0.01, "cuda", 0.05).between == pytest.approx(0.0141, rel=0.01)
    assert plan_for(0.01, "cuda", 0.2).between == pytest.approx(0.0103, rel=0.01)


def test_series_that_differ_by_far_more_than_processes_do_tell_by_how_much_and_of_few_with_less_certainty():
    # Medians of 1.0 and 1.3, as two pairs of processes gave for one kernel of 0.05 ms on a GPU.
    apart = estimate(series_at(0.0, 0.26), 0.01)
    assert apart.low < 1 < apart.high
    more = estimate(series_at(0.25, 0.26, 0.27, 0.26, 0.25, 0.27), 0.001)
    assert more.low > 1.2
