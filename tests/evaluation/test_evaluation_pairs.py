"""The two workers of each series: which they are, when they start and end, and how many calls their turns have."""

import os
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from made_up_turns import Busy, Worker

from pytest_kernelbench.evaluation.clock.pairs import KEPT_CONTROLS, Pairs
from pytest_kernelbench.evaluation.clock.rehearsals import COPIES_OF_SERIES
from pytest_kernelbench.evaluation.device import cpu
from pytest_kernelbench.evaluation.device.traits import DEVICES
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.records import Outcome


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


def test_controls_are_parted_with_when_they_are_not_needed_any_more():
    got = []
    pairs = Pairs(SimpleNamespace(), Worker, got.append)
    for number in range(2):
        with pairs.two(number, Worker, 0.01):
            pass
    controls = list(pairs._kept)
    assert got == []
    # Later series of a claim have one more.
    with pairs.two(2, Worker, 0.01):
        assert got == []
    assert len(got) == 1 and got[0] not in controls
    pairs.hand_over()
    assert sorted(map(id, got[1:])) == sorted(map(id, controls)) and len(controls) == KEPT_CONTROLS
    pairs.hand_over()
    assert len(got) == 1 + KEPT_CONTROLS


def test_a_control_of_a_series_that_failed_ends():
    ended, got = [], []

    def new_control():
        control = Worker()
        control.end = lambda: ended.append(control)
        return control

    pairs = Pairs(SimpleNamespace(), new_control, got.append)
    with pytest.raises(CandidateFailed), pairs.two(2, Worker, 0.01):
        raise CandidateFailed(Outcome.INCORRECT, "wrong")
    assert len(ended) == 1 and got == []


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


def test_quiet_begins_when_both_workers_are_warm_and_is_over_after_their_turns():
    notes = []
    pairs = Pairs(SimpleNamespace(), lambda: Noted("control", notes))
    pairs.prepare()
    notes.clear()
    for number in range(2):
        with pairs.two(number, lambda number=number: Noted(f"candidate {number}", notes), 0.01, NotedQuiet(notes)):
            notes.append("turns")
    both_stop = ["control stops", "candidate {0} stops", "quiet begins", "candidate {0} goes on", "control goes on"]
    over = ["turns", "quiet is over", "candidate {0} is told to end"]
    series = ["control is warm", "candidate {0} is warm", *both_stop, *over]
    first, second = ([each.format(number) for each in series] for number in range(2))
    assert notes == [*first, "candidate 0 has ended", *second]


def test_memory_for_the_outputs_of_all_turns_is_taken_before_quiet_begins(monkeypatch):
    notes = []
    monkeypatch.setattr(cpu, "hold_for", lambda sizes: notes.append(f"the judge holds {len(sizes)}"))
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], trials_beside_others=True))

    def worker(name):
        made = Noted(name, [])
        made.hold_outputs = lambda calls: notes.append(f"{name} holds {calls}")
        return made

    with Pairs(SimpleNamespace(), lambda: worker("control")).two(0, lambda: worker("own"), 0.005, NotedQuiet(notes)):
        assert notes[:4] == [
            "control holds 4",
            "own holds 4",
            f"the judge holds {2 * COPIES_OF_SERIES + 1}",
            "quiet begins",
        ]


def test_where_others_wait_meanwhile_both_workers_rehearse_a_turn_before_quiet_begins(monkeypatch):
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], trials_beside_others=True))
    notes = []

    def worker(name):
        made = Noted(name, [])
        made.rack.calls_ahead = 3
        made.have_slots = lambda count: notes.append(f"{name} has {count}") or made.slots[:count]
        made.hold_outputs = lambda calls: notes.append(f"{name} holds {calls}")
        made.rehearse = lambda slots: notes.append(f"{name} rehearses {len(slots)}") or 0.02
        return made

    with Pairs(SimpleNamespace(), lambda: worker("control")).two(0, lambda: worker("own"), 0.01, NotedQuiet(notes)):
        both = [[f"{name} has 3", f"{name} holds 3"] for name in ("control", "own")]
        turns = [f"{name} rehearses 2" for name in ("control", "control", "own", "own")]
        assert notes == [*both[0], *both[1], *turns, "quiet begins"]


def test_turns_that_grow_beyond_the_slots_of_a_worker_have_more_made():
    class Growing(Busy):
        def __init__(self):
            super().__init__(0.0005)
            self.all_slots, self.slots = self.slots, []
            self.rack.calls_in_memory = lambda wanted: wanted

        def have_slots(self, count):
            self.slots = self.all_slots[: max(count, len(self.slots))]
            return self.slots[:count]

    made = Growing()
    with Pairs(SimpleNamespace(), Growing).two(0, lambda: made, 0.1) as two:
        assert len(made.slots) == two.calls == 40


def test_where_others_may_use_the_device_outputs_are_compared_once_quiet_is_over(monkeypatch):
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], trials_beside_others=True))
    notes = []
    candidate = Noted("candidate", notes)
    candidate.check_left = lambda slot, left, values: notes.append("compared")
    with Pairs(SimpleNamespace(), Worker).two(0, lambda: candidate, 0.01, NotedQuiet(notes)) as two:
        notes.clear()
        for _ in range(5):
            two.turn("candidate")
    begin, *compared, end = notes
    assert (begin, set(compared), end) == ("quiet is over", {"compared"}, "candidate is told to end")
    assert len(compared) >= 5


def test_a_control_that_is_asked_for_the_last_time_ends_and_the_others_stay():
    ended = []

    def new_control():
        control = Worker()
        control.end = lambda: ended.append(control)
        return control

    pairs = Pairs(SimpleNamespace(), new_control)
    with pairs.control(0) as zero, pairs.control(1) as one:
        pass
    with pairs.last_control() as last:
        assert last is one and ended == []
    assert ended == [one]
    with pairs.control(0) as again, pairs.control(1) as new, pairs.last_control() as last:
        assert again is zero and new is last is not one


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


@pytest.mark.parametrize(
    ("seconds_of_call", "turns_of"),
    [
        # In a turn of one call, half of the turn is taken for what surrounds it.
        (0.00005, [1, 20, 256]),
        # That no more are wanted is said twice.
        (0.0005, [1, 16, 40, 40]),
        (0.004, [1, 5, 5]),
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
        # A turn of 18 calls is not made two calls longer.
        assert two.calls == 18


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
    assert [[n for n in each.calls_of_turns if n] for each in made] == [[1, 16, 40, 40]] * 2 + [[40]] * 2
    # Another candidate's calls may take longer.
    with pairs.two(0, worker, 0.1):
        pass
    assert made[-1].calls_of_turns == [1, 16, 40, 40]


def test_turns_begin_with_as_many_calls_as_a_call_s_known_duration_allows():
    candidate, control = Busy(0.00005), Busy(0.00005)
    with Pairs(SimpleNamespace(), lambda: control).two(0, lambda: candidate, 0.002):
        pass
    assert candidate.calls_of_turns == [10, 160, 256]


def test_one_late_turn_does_not_make_all_turns_short():
    candidate, control = Busy(0.0005), Busy(0.0005)
    late = iter([0.0, 0.1])
    calls = candidate.calls
    candidate.calls = lambda slots: (calls(slots)[0] + next(late, 0.0), calls(slots)[1])
    with Pairs(SimpleNamespace(), lambda: control).two(0, lambda: candidate, 0.1) as two:
        assert two.calls == 40


def test_no_turn_has_more_calls_than_fit_into_memory():
    candidate, control = Worker(), Worker()
    with Pairs(SimpleNamespace(), lambda: control).two(0, lambda: candidate, 0.01) as two:
        two.turn("candidate")
    assert candidate.calls_of_turns == [2, 4, 4]
