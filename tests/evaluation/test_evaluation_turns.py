"""Turns of two workers: the number of calls in a turn, and the checks after each turn."""

import os
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pytest_kernelbench.evaluation.clock import turns
from pytest_kernelbench.evaluation.clock.turns import (
    CHECKED_AT_RANDOM,
    CONTROL_CHECKED,
    KEPT_CONTROLS,
    LONE_TURNS_CHECKED,
    ControlFailed,
    Pairs,
    TakingTurns,
)
from pytest_kernelbench.evaluation.device.foreign import Place
from pytest_kernelbench.evaluation.device.traits import DEVICES
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.records import Outcome

TURNS = 400


class Slot:
    def __init__(self, number):
        self.number = number

    def refresh(self, drawn):
        pass


class Worker:
    """A stopped worker with four slots that answers each turn at once, and what of it was looked at."""

    def __init__(self):
        self.slots = [Slot(number) for number in range(4)]
        self.bench = SimpleNamespace(device="cpu", refreshed=lambda: "inputs")
        self.rack = SimpleNamespace(calls_in_memory=lambda wanted: min(wanted, len(self.slots)))
        self.answers_checked, self.inputs_checked, self.calls_of_turns = [], [], []
        self.called, self.did, self.kept_to = [], [], []

    def thaw(self):
        pass

    freeze = end = close = leave_room = thaw

    @contextmanager
    def stopped(self):
        yield

    def keep_to(self, cores):
        self.kept_to.append(cores)

    def have_slots(self, count):
        return self.slots[:count]

    def warm(self, reference, candidate, *, times):
        pass

    def calls(self, slots):
        self.calls_of_turns.append(len(slots))
        self.called += [slot.number for slot in slots]
        self.did.append("call")
        return 0.005, [[Place(4096 * slot.number, (1,))] for slot in slots]

    def read(self, places):
        return ["output"]

    def check_outputs(self, slots, outputs, drawn):
        self.answers_checked.append(len(slots))
        self.did.append("check")

    def check_inputs(self, slots, drawn):
        self.inputs_checked.append(len(slots))


def test_a_candidate_s_answers_are_checked_after_every_turn():
    candidate = Worker()
    two = TakingTurns(candidate, Worker(), 4)
    for _ in range(TURNS):
        assert two.turn("candidate") == 0.005
    assert len(candidate.answers_checked) == TURNS
    assert set(candidate.answers_checked) == {1, 1 + CHECKED_AT_RANDOM}
    assert candidate.inputs_checked == []


def test_a_control_s_inputs_are_checked_after_every_turn_and_its_answers_after_some():
    control = Worker()
    two = TakingTurns(Worker(), control, 4)
    for _ in range(TURNS):
        two.turn("control")
    assert len(control.answers_checked) + len(control.inputs_checked) == TURNS
    # Five standard errors.
    assert len(control.answers_checked) == pytest.approx(CONTROL_CHECKED * TURNS, abs=50)


def test_turns_of_one_call_have_slots_of_their_own_and_some_of_their_answers_are_looked_at_after_the_last():
    candidate = Worker()
    two = TakingTurns(candidate, Worker(), 4)
    assert two.lone_turns("candidate") == [0.005] * 4
    assert candidate.calls_of_turns == [1] * 4
    assert sorted(candidate.called) == [0, 1, 2, 3]
    assert candidate.answers_checked == [1] * LONE_TURNS_CHECKED
    assert [each == "check" for each in candidate.did[-LONE_TURNS_CHECKED:]] == [True] * LONE_TURNS_CHECKED
    two.turn("candidate")
    assert candidate.calls_of_turns[-1] == 4


def test_controls_that_are_there_already_serve_the_first_series_of_each_candidate():
    made = []

    def new_control():
        made.append(Worker())
        return made[-1]

    pairs = Pairs(SimpleNamespace(), new_control)
    pairs.prepare()
    pairs.prepare()
    assert len(made) == 1
    for _ in range(2):
        for number in range(KEPT_CONTROLS):
            with pairs.two(number, Worker, 0.01) as two:
                two.turn("control")
    assert len(made) == KEPT_CONTROLS
    assert all(each.calls_of_turns for each in made)


def test_controls_end_at_once_and_not_one_after_the_other():
    # Each takes a while to leave a GPU, which is held alone meanwhile.
    did = []

    def new_control():
        control = Worker()
        control.end, control.close = (lambda: did.append("end")), (lambda: did.append("close"))
        return control

    pairs = Pairs(SimpleNamespace(), new_control)
    for number in range(2):
        with pairs.two(number, Worker, 0.01):
            pass
    pairs.close()
    assert did == ["end", "end", "close", "close"]


class Noted(Worker):
    """A worker that notes what is done with it."""

    def __init__(self, name, notes):
        super().__init__()
        self._name, self._notes = name, notes

    def warm(self, reference, candidate, *, times):
        self._notes.append(f"{self._name} is warm")

    @contextmanager
    def stopped(self):
        self._notes.append(f"{self._name} stops")
        yield
        self._notes.append(f"{self._name} goes on")

    def end(self):
        self._notes.append(f"{self._name} is told to end")

    def close(self):
        self._notes.append(f"{self._name} has ended")


class NotedQuiet:
    def __init__(self, notes):
        self._notes = notes

    def begin(self):
        self._notes.append("quiet begins")

    def is_over(self):
        self._notes.append("quiet is over")


def test_quiet_begins_when_both_workers_are_warm_and_is_over_when_those_of_the_last_series_have_ended():
    notes = []
    pairs = Pairs(SimpleNamespace(), lambda: Noted("control", notes))
    pairs.prepare()
    notes.clear()
    for number in range(2):
        with pairs.two(number, lambda number=number: Noted(f"candidate {number}", notes), 0.01, NotedQuiet(notes)):
            notes.append("turns")
    both_stop = ["control stops", "candidate {0} stops", "quiet begins", "candidate {0} goes on", "control goes on"]
    series = ["control is warm", "candidate {0} is warm", *both_stop, "turns", "candidate {0} is told to end"]
    first, second = ([each.format(number) for each in series] for number in range(2))
    assert notes == [*first, "candidate 0 has ended", "quiet is over", *second]


def test_both_workers_of_a_series_have_one_core_and_all_of_them_afterwards(monkeypatch):
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], on_one_core=True))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2, 3, 5, 7})
    pairs, drawn = Pairs(SimpleNamespace(), Worker), set()
    pairs.prepare()
    control = pairs._kept[0]
    for _ in range(50):
        candidate = Worker()
        with pairs.two(0, lambda candidate=candidate: candidate, 0.01):
            (core,) = candidate.kept_to
            assert control.kept_to[-1] == core and len(core) == 1
            drawn |= core
        assert control.kept_to[-1] == candidate.kept_to[-1] == {2, 3, 5, 7}
    assert drawn == {2, 3, 5, 7}


def test_on_a_device_whose_calls_use_many_cores_both_have_all():
    candidate = Worker()
    with Pairs(SimpleNamespace(), Worker).two(0, lambda: candidate, 0.01):
        assert candidate.kept_to == []


def test_workers_of_a_series_that_fails_end():
    notes = []
    pairs = Pairs(SimpleNamespace(), lambda: Noted("control", notes))
    with pytest.raises(CandidateFailed), pairs.two(0, lambda: Noted("candidate", notes), 0.01):
        raise CandidateFailed(Outcome.RUNTIME_ERROR, "the process ended")
    pairs.close_ended()
    assert [each for each in notes if "end" in each] == ["candidate is told to end", "candidate has ended"]


def test_an_error_in_a_control_s_turn_of_one_call_is_the_control_s():
    control = Worker()

    def calls(slots):
        raise CandidateFailed(Outcome.RUNTIME_ERROR, "the process ended")

    control.calls = calls
    with pytest.raises(ControlFailed, match="the process ended"):
        TakingTurns(Worker(), control, 4).lone_turns("control")


def test_a_control_that_is_tried_as_the_candidate_is_checked_like_one():
    control = Worker()
    TakingTurns(control, control, 4).turn("control")
    assert len(control.answers_checked) == 1


def test_which_turns_of_the_control_are_checked_cannot_be_foreseen():
    assert type(turns._random).__name__ == "SystemRandom"


class Busy(Worker):
    """A worker with many slots, whose calls take so long, in turns that take 2 ms without any."""

    def __init__(self, seconds_of_call):
        super().__init__()
        self.slots = [Slot(number) for number in range(256)]
        self.seconds_of_call = seconds_of_call

    def calls(self, slots):
        super().calls(slots)
        return 0.002 + self.seconds_of_call * len(slots), [[Place(4096 * slot.number, (1,))] for slot in slots]


@pytest.mark.parametrize(
    ("seconds_of_call", "turns_of"),
    [
        # In a turn of one call, half of the turn is taken for what surrounds it.
        (0.00005, [1, 20, 256]),
        (0.0005, [1, 16, 40]),
        (0.004, [1, 5]),
        (0.03, [1]),
    ],
)
def test_turns_grow_until_what_surrounds_their_calls_is_little(seconds_of_call, turns_of):
    # A call was said to take 100 ms when it was the first in its process.
    candidate, control = Busy(seconds_of_call), Busy(seconds_of_call)
    with Pairs(SimpleNamespace(), lambda: control).two(0, lambda: candidate, 0.1) as two:
        rehearsed = list(candidate.calls_of_turns)
        two.turn("candidate")
    assert rehearsed == turns_of
    assert candidate.calls_of_turns[-1] == turns_of[-1]


def test_what_is_slow_on_one_side_makes_no_turn_long():
    candidate, control = Busy(0.0001), Busy(0.01)
    with Pairs(SimpleNamespace(), lambda: control).two(0, lambda: candidate, 0.1) as two:
        assert two.calls == 20


def test_a_later_series_begins_with_the_calls_of_the_one_before():
    made = []

    def worker():
        made.append(Busy(0.0005))
        return made[-1]

    pairs = Pairs(SimpleNamespace(), worker)
    for number in range(2):
        with pairs.two(number, worker, 0.1):
            pass
    # A control's turns without calls are left out.
    assert [[n for n in each.calls_of_turns if n] for each in made] == [[1, 16, 40]] * 2 + [[40]] * 2
    # Another candidate's calls may take longer.
    with pairs.two(0, worker, 0.1):
        pass
    assert made[-1].calls_of_turns == [1, 16, 40]


def test_no_turn_has_more_calls_than_fit_into_memory():
    candidate, control = Worker(), Worker()
    with Pairs(SimpleNamespace(), lambda: control).two(0, lambda: candidate, 0.01) as two:
        two.turn("candidate")
    assert candidate.calls_of_turns == [1, 4, 4]
