"""Turns get their number of calls beside other trials, where the device has others."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from made_up_turns import Busy

from pytest_kernelbench.evaluation.clock.rehearsals import MOST_BELIEVED, rehearsed_alone, rehearsed_beside_others
from pytest_kernelbench.evaluation.clock.turns import ControlFailed
from pytest_kernelbench.evaluation.device.traits import DEVICES
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.records import Outcome


@pytest.fixture
def with_others(monkeypatch):
    traits = replace(DEVICES["cpu"], trials_beside_others=True, seconds_per_turn=0.01)
    monkeypatch.setitem(DEVICES, "cpu", traits)


class Rehearsing(Busy):
    """A worker whose calls take so long, and whose first turn of each number of calls takes ``first_s`` more."""

    def __init__(self, seconds_of_call, first_s=0.05):
        super().__init__(seconds_of_call)
        self._first_s = first_s
        self.rehearsed = []

    def rehearse(self, slots):
        is_first = len(slots) not in self.rehearsed
        self.rehearsed.append(len(slots))
        return 0.001 + self.seconds_of_call * len(slots) + self._first_s * is_first


def test_turns_grow_before_the_device_is_held_alone_and_what_a_first_turn_needs_counts_as_no_call(with_others):
    control, candidate = Rehearsing(0.0002), Rehearsing(0.0001)
    calls = rehearsed_beside_others(control, candidate, 1, grows=True)
    assert control.rehearsed == candidate.rehearsed == [1, 1, 9, 9, 39, 39, calls, calls]
    # Not quite the 71 that the calls alone would allow: the time around a turn is counted as calls.
    assert 55 <= calls <= 65


def test_a_later_series_keeps_its_number_of_calls(with_others):
    control, candidate = Rehearsing(0.0002), Rehearsing(0.0001)
    assert rehearsed_beside_others(control, candidate, 20, grows=False) == 20
    assert control.rehearsed == candidate.rehearsed == [20, 20]


def test_a_candidate_that_rehearses_nothing_makes_turns_longer_by_little(with_others):
    control, candidate = Rehearsing(0.005), Rehearsing(0.0, first_s=0.0)
    calls = rehearsed_beside_others(control, candidate, 1, grows=True)
    assert calls <= 2 * MOST_BELIEVED**0.5


def test_a_control_that_fails_is_no_failure_of_the_candidate(with_others):
    control, candidate = Rehearsing(0.005), Rehearsing(0.005)

    def fails(slots):
        raise CandidateFailed(Outcome.RUNTIME_ERROR, "the process ended")

    control.rehearse = fails
    with pytest.raises(ControlFailed, match="the process ended"):
        rehearsed_beside_others(control, candidate, 1, grows=True)


class Growing(Busy):
    """A worker with few slots at first."""

    def __init__(self, has_memory):
        super().__init__(0.0001)
        self._every, self.slots = self.slots, self.slots[:2]
        self._has_memory = has_memory
        self.rack = SimpleNamespace(calls_in_memory=lambda wanted: wanted, calls_ahead=0)

    def have_slots(self, count):
        if not self._has_memory:
            raise CandidateFailed(Outcome.RUNTIME_ERROR, "OutOfMemoryError: CUDA out of memory")
        self.slots = self._every[:count]
        return self.slots


@pytest.mark.parametrize(("lacks", "raised"), [("control", ControlFailed), ("candidate", CandidateFailed)])
def test_where_turns_grow_alone_a_control_without_memory_is_no_failure_of_the_candidate(lacks, raised):
    control, candidate = (Growing(has_memory=side != lacks) for side in ("control", "candidate"))
    with pytest.raises(raised):
        rehearsed_alone(control, candidate, 2, 0.0001)


def test_a_device_that_is_never_shared_needs_no_rehearsal():
    control, candidate = Rehearsing(0.005), Rehearsing(0.005)
    assert rehearsed_beside_others(control, candidate, 7, grows=True) == 7
    assert control.rehearsed == candidate.rehearsed == []
