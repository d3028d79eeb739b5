"""How often a claim is looked at before it counts, and a suspicion before it convicts."""

import math
from itertools import chain, islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.plausibility import Suspicion
from pytest_kernelbench.evaluation.timekeeping import Measured
from pytest_kernelbench.evaluation.timing import paired_timing
from pytest_kernelbench.evaluation.weighing import SWEEPS, SWEEPS_TO_ACQUIT, Retrial, TurnsTaken, decide, weigh

BUSY = "other processes used 60% of the cores while it was timed"
CLOCK, HIDDEN = Suspicion("clock_disagreement", "two clocks"), Suspicion("hidden_work", "its kernels")


def retrials(*found):
    """One for each pair of a suspicion and a disturbance; the speed-up says which one it is."""
    for number, (suspicion, disturbance) in enumerate(found, start=1):
        timing = paired_timing([1.0 + number] * 12, [1.0] * 12)
        yield Retrial(Measured(timing, 0.0), suspicion, True, disturbance)
    raise AssertionError("one retrial too many")


@pytest.mark.parametrize(
    ("found", "convicted"),
    [
        ([(None, None)], False),
        ([(CLOCK, None), (CLOCK, None)], True),
        ([(CLOCK, None), (None, None), (None, None)], False),
        ([(None, BUSY), (None, None)], False),
        ([(None, BUSY), (CLOCK, BUSY), (None, BUSY)], False),
        ([(HIDDEN, BUSY), (HIDDEN, BUSY)], True),
        ([(CLOCK, BUSY), (CLOCK, None), (HIDDEN, BUSY)], True),
    ],
)
def test_a_suspect_is_tried_until_two_agree_on_a_machine_that_others_use_too(found, convicted):
    measured, suspicion = decide(retrials(*found))
    assert measured.timing.speedup == pytest.approx(len(found) + 1)
    assert suspicion is (found[-1][0] if convicted else None)
    assert measured.remark == ""


@pytest.mark.parametrize("before", [[], [(CLOCK, BUSY)], [(HIDDEN, None)], [(None, BUSY)]])
def test_who_drops_the_claim_is_tried_no_more(before):
    dropped = Retrial(Measured(paired_timing([1.0] * 12, [1.0] * 12), 0.0), None, False, None)
    tried = islice(retrials(*before), len(before))
    assert decide(chain(tried, [dropped])) == (dropped.measured, None)


def test_who_claims_nothing_and_works_on_after_his_calls_is_tried_until_two_agree():
    timing = Measured(paired_timing([1.0] * 12, [1.0] * 12), 0.0)
    assert decide(iter([Retrial(timing, HIDDEN, False, None)] * 2)) == (timing, HIDDEN)


def test_whom_only_the_clock_of_a_busy_machine_accuses_is_correct_and_not_fast():
    measured, suspicion = decide(retrials((CLOCK, BUSY), (None, BUSY), (CLOCK, BUSY)))
    assert suspicion is None
    assert measured.remark == f"not counted as faster: {BUSY}"
    assert measured.timing.speedup == 1.0


@given(st.lists(st.tuples(*[st.floats(1e-3, 1e4)] * 2), min_size=1, max_size=20))
def test_without_its_claim_nothing_is_fast(pairs):
    timing = paired_timing(*zip(*pairs, strict=True))
    less = Measured(timing, 0.0).without_claim("so it is").timing
    assert less.speedup <= min(1.0, timing.speedup)
    assert less.candidate_ms == timing.candidate_ms


def turns(rng, noise_ms, saving_ms):
    """Of a control of 1 ms a call and a candidate that saves so much, on a machine with so much noise; 20 ms each."""
    own_ms, control_ms = [], []
    while len(own_ms) < 250:
        own_ms.append(rng.gauss(1.0 - saving_ms, noise_ms))
        control_ms.append(rng.gauss(1.0, noise_ms))
        yield TurnsTaken(own_ms, control_ms, [], [], 0.02 * len(own_ms))


def a_tenth_must_be_seen(taken, in_favour):
    return None if taken.saving_ms()[in_favour] >= 0.1 else CLOCK


@pytest.mark.parametrize("noise_ms", [0.05, 0.3, 10.0])
def test_noise_is_not_taken_for_a_saving(noise_ms):
    rng = Random(7)
    believed = [weigh(turns(rng, noise_ms, 0.0), a_tenth_must_be_seen)[0] is None for _ in range(400)]
    assert sum(believed) == 0


@pytest.mark.parametrize("noise_ms", [0.05, 0.3, 10.0])
def test_noise_hides_a_saving_and_convicts_nobody_for_it(noise_ms):
    rng = Random(7)
    found = [weigh(turns(rng, noise_ms, 0.2), a_tenth_must_be_seen) for _ in range(400)]
    believed = sum(suspicion is None for suspicion, _ in found)
    uncertain = sum(suspicion is not None and why is not None for suspicion, why in found)
    assert believed + uncertain >= 380
    assert believed == 400 if noise_ms < 0.1 else uncertain > 200


def test_a_clear_case_is_not_looked_at_for_longer_than_it_takes():
    for saving_ms in (0.2, 0.0):
        taken = turns(Random(7), 0.0, saving_ms)
        assert weigh(taken, a_tenth_must_be_seen) == (None if saving_ms else CLOCK, None)
        assert next(taken).seconds == pytest.approx(1.06)


@pytest.mark.parametrize(("objection", "sweeps_made"), [(None, SWEEPS_TO_ACQUIT), (CLOCK, SWEEPS)])
def test_what_does_not_depend_on_the_saving_is_decided_before_that_is_sure(objection, sweeps_made):
    taken = turns(Random(7), 0.0, 0.0)
    assert weigh(taken, lambda taken, in_favour: objection) == (objection, None)
    assert len(next(taken).own_ms) == sweeps_made + 1


def test_one_who_is_not_sure_yet_is_looked_at_after_a_fifth_more_sweeps():
    looked = []
    weigh(
        turns(Random(7), 0.0, 0.0),
        lambda taken, in_favour: looked.append(len(taken.own_ms)) or (None if in_favour else CLOCK),
    )
    counts = "5 6 7 8 9 10 12 14 16 19 22 26 31 37 44 52 62 74 88 105 126 151 181 217"
    assert looked[::2] == [int(count) for count in counts.split()]


def test_who_saves_less_or_more_than_must_be_seen_is_told_how_much_was_seen():
    rough = [TurnsTaken([0.5, 1.5] * 8, [1.0] * 16, [], [], 1.0)]
    assert weigh(iter(rough), a_tenth_must_be_seen) == (
        CLOCK,
        "the judge's clock saw it save -0.5 to 0.5 ms a call, too rough to tell",
    )


def test_beside_others_a_saving_is_of_the_cpu_s_time():
    # Of two threads, and others' work makes a call last twice as long, or three times.
    taken = TurnsTaken([1.5, 3.0] * 10, [3.0, 2.0] * 10, [1.5] * 20, [2.0] * 20, 1.0)
    assert taken.saving_ms() == (-1.0, 1.5)
    assert taken.saving_beside_others_ms(1.2) == (0.25, pytest.approx(0.3))
    assert taken._replace(seconds=0.9).saving_beside_others_ms(1.2) == (-math.inf, math.inf)


def test_beside_others_nobody_saves_what_the_clock_does_not_see():
    has_others_work = TurnsTaken([1.0] * 20, [1.0] * 20, [0.1] * 20, [1.0] * 20, 1.0)
    assert has_others_work.saving_beside_others_ms(1.0) == (0.0, pytest.approx(0.9))
    is_lucky = TurnsTaken([1.0] * 20, [2.0] * 20, [1.0] * 20, [1.0] * 20, 1.0)
    assert is_lucky.saving_beside_others_ms(1.0) == (0.0, 0.0)
