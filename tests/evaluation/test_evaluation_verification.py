"""What convicts a timing, and what is looked at twice before it does."""

import time
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain, count, repeat
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from pytest_kernelbench.evaluation.neighbours import Neighbours
from pytest_kernelbench.evaluation.plausibility import Suspicion
from pytest_kernelbench.evaluation.protocols import PROTOCOLS
from pytest_kernelbench.evaluation.timekeeping import Block, Measured, Timekeeper
from pytest_kernelbench.evaluation.timing import paired_timing
from pytest_kernelbench.evaluation.verification import (
    BLOCKS_TO_CONVICT,
    COLD_BLOCKS,
    Verifier,
    beside_control,
    lesser,
    taking_turns,
)
from pytest_kernelbench.evaluation.weighing import MOST_SWEEPS, SWEEPS_TO_BE_SURE


@dataclass
class Floor:
    """A task whose floor is ``floor_ms``, and ``measured_again_ms`` when it is measured again."""

    floor_ms: float
    measured_again_ms: float
    device: str = "cpu"
    seconds_per_call: float = 1e-3

    def lower_floor(self):
        self.floor_ms = min(self.floor_ms, self.measured_again_ms)


@pytest.mark.parametrize(("again_ms", "suspect"), [(1.0, False), (2.2, True)])
def test_a_floor_that_a_busy_machine_gave_makes_nobody_suspect(again_ms, suspect):
    bench = Floor(floor_ms=2.2, measured_again_ms=again_ms)
    measured = Measured(paired_timing([1.0] * 12, [1.0] * 12), 0.0)
    assert Verifier(bench, Timekeeper(PROTOCOLS["paper"], margin=0.0), None).is_suspect(None, measured) is suspect


def test_on_a_cpu_who_claims_to_be_fast_is_timed_again_beside_the_control():
    bench = Floor(floor_ms=0.1, measured_again_ms=0.1)
    verifier = Verifier(bench, Timekeeper(PROTOCOLS["full"], margin=0.05), None)
    assert verifier.is_suspect(None, Measured(paired_timing([1.1] * 12, [1.0] * 12), 0.0))
    assert not verifier.is_suspect(None, Measured(paired_timing([1.04] * 12, [1.0] * 12), 0.0))


def test_a_device_that_worked_on_after_the_calls_is_watched_again_before_it_convicts():
    late = Suspicion("side_stream", "works for 0.04 ms after its own stream has ended")
    verifier = Verifier(Floor(0.1, 0.1, "cuda"), Timekeeper(PROTOCOLS["full"], margin=0.01), None)
    assert verifier.is_suspect(None, Measured(paired_timing([0.9] * 12, [1.0] * 12), 0.0, late))
    assert not verifier.is_suspect(None, Measured(paired_timing([0.9] * 12, [1.0] * 12), 0.0))


class Profiled:
    """A dock whose calls keep the GPU busy for so long, by the profiler; it keeps what was asked and checked."""

    slots = ("first", "second", "third")

    def __init__(self, busy_ms, walls_ms=()):
        self._busy_ms = busy_ms
        self._walls_ms = list(walls_ms)
        self.asked = []

    def refresh(self, slots):
        return dict.fromkeys(slots, "drawn")

    def profile(self, slot):
        self.asked.append(("profile", 1))
        return SimpleNamespace(busy_ms=self._busy_ms)

    def sweep(self, slots):
        self.asked.append(("sweep", len(slots)))
        return self._walls_ms.pop(0)

    def check_timed(self, slots, drawn):
        assert set(slots) <= set(drawn)
        self.asked.append(("check", len(slots)))


@pytest.mark.parametrize("busy_ms", [1.0, None])
def test_a_call_is_profiled_on_new_inputs_and_its_answer_is_checked(busy_ms):
    verifier = Verifier(Floor(0.1, 0.1, "cuda"), Timekeeper(PROTOCOLS["full"], margin=0.01), None)
    dock = Profiled(busy_ms)
    assert verifier._recorded(dock, paired_timing([2.0] * 12, [1.0] * 12)) == (busy_ms, None)
    assert dock.asked == [("profile", 1), ("check", 1)]


def test_a_record_that_is_too_long_is_held_against_sweeps_with_every_answer_checked():
    # Who left calls out of a sweep, two of which are looked at, could have any record called too long.
    verifier = Verifier(Floor(0.1, 0.1, "cuda"), Timekeeper(PROTOCOLS["full"], margin=0.01), None)
    dock = Profiled(1.2, [6.0, 3.0, 4.5])
    assert verifier._recorded(dock, paired_timing([2.0] * 12, [1.0] * 12)) == (1.2, 1.0)
    assert dock.asked == [("profile", 1), ("check", 1), *[("sweep", 3), ("check", 3)] * 3]


class Swept:
    """A dock of twelve slots whose sweeps take one millisecond more each time; it keeps which slots were asked for."""

    slots = tuple(range(12))

    def __init__(self, cpu_ms):
        self._walls_ms = count(1.0)
        self._cpu_ms = cpu_ms
        self._spent_ms = 70.0
        self.asked = []

    def spent_seconds(self):
        return self._spent_ms / 1e3

    def refresh(self, slots):
        return dict.fromkeys(slots, "drawn")

    def sweep(self, slots):
        self.asked.append(slots)
        self._spent_ms += self._cpu_ms * len(slots)
        return next(self._walls_ms) * len(slots)

    def check_timed(self, slots, drawn):
        assert set(slots) <= set(drawn)

    def give_room(self):
        self.asked.append("room")

    idle = nullcontext


def test_a_candidate_and_the_control_sweep_the_same_slots_in_turns():
    dock, control_dock = Swept(cpu_ms=1.5), Swept(cpu_ms=2.0)
    turns = list(taking_turns(dock, control_dock, calls=3, cpu_time=True))
    assert len(turns) == MOST_SWEEPS
    assert turns[-1].own_cpu_ms == pytest.approx([1.5] * MOST_SWEEPS)
    assert turns[-1].control_cpu_ms == pytest.approx([2.0] * MOST_SWEEPS)
    assert turns[-1].own_ms == turns[-1].control_ms == [float(ms) for ms in range(1, MOST_SWEEPS + 1)]
    assert dock.asked == [(0, 1, 2), "room"] * MOST_SWEEPS
    assert control_dock.asked == [(0, 1, 2)] * MOST_SWEEPS


def test_a_slowed_reference_leaves_no_more_than_the_control_says():
    own = paired_timing([1.5] * 12, [1.0] * 12)
    control = beside_control(own, [Block({"reference_ms": [0.5] * 6, "candidate_ms": [2.0] * 6}, 0.0)] * 2)
    assert (own.speedup_low, control.speedup_low, control.reference_ms) == (1.5, 1.0, 1.0)
    assert lesser(own, control) is control
    assert lesser(paired_timing([0.9] * 12, [1.0] * 12), control).speedup == pytest.approx(0.9)


def test_where_cpu_time_decides_nothing_nobody_asks_for_it(monkeypatch):
    monkeypatch.delattr(Swept, "spent_seconds")
    taken = next(taking_turns(Swept(cpu_ms=1.5), Swept(cpu_ms=2.0), calls=3, cpu_time=False))
    assert (taken.own_ms, taken.control_ms, taken.own_cpu_ms, taken.control_cpu_ms) == ([1.0], [1.0], [], [])


class Place(NamedTuple):
    """A slot that holds nothing."""

    number: int


class Steady:
    """A dock whose calls take the same time whenever they are made, or ``cold_ms``; it keeps what was asked.

    ``around_ms`` is what is around a pair of one half block after the other, the last one for good; ``cpu_ms`` what a
    call in a sweep uses of the CPU, if it is not what it lasts.
    """

    def __init__(self, reference_ms, candidate_ms, cold_ms=None, around_ms=(0.1,), cpu_ms=None):
        self._cpu_ms = candidate_ms if cpu_ms is None else cpu_ms
        self._spent_ms = 0.0
        self._ms = {"reference_ms": reference_ms, "candidate_ms": candidate_ms}
        self._cold_ms = cold_ms
        self._around_ms = chain(around_ms, repeat(around_ms[-1]))
        self.rack = SimpleNamespace(pairs_in_memory=lambda wanted: wanted)
        self.slots = []
        self.asked = []

    def have_slots(self, count):
        self.slots = [Place(number) for number in range(count)]
        return list(self.slots)

    def refresh(self, slots):
        return {slot.number: "drawn" for slot in slots}

    def warm(self, reference, candidate, *, times):
        assert reference.number != candidate.number

    def pairs(self, pairs, *, cold=False):
        self.asked.append("cold pairs" if cold else "pairs")
        took_ms = dict.fromkeys(self._ms, self._cold_ms) if cold else self._ms
        late_ms = {"reference_late_ms": 0.0, "candidate_late_ms": 0.0}
        return {what: [ms] * len(pairs) for what, ms in (took_ms | late_ms).items()}, next(self._around_ms)

    def sweep(self, slots):
        self.asked.append("sweep")
        time.sleep(0.01)
        self._spent_ms += self._cpu_ms * len(slots)
        return self._ms["candidate_ms"] * len(slots)

    def check_timed(self, slots, drawn):
        assert {slot.number for slot in slots} <= set(drawn)

    def give_room(self):
        pass

    def spent_seconds(self):
        return self._spent_ms / 1e3

    idle = nullcontext


def tried_again(dock, control_dock):
    verifier = Verifier(Floor(0.1, 0.1), Timekeeper(PROTOCOLS["full"], margin=0.05), lambda: nullcontext(control_dock))
    return verifier.retrial(dock, 1e-3)


def test_who_claims_nothing_when_timed_again_is_asked_for_no_sweeps():
    dock, control_dock = Steady(1.0, 1.04), Steady(1.0, 1.0, cold_ms=2.0)
    again = tried_again(dock, control_dock)
    assert (again.suspicion, again.disturbance) == (None, None)
    assert set(dock.asked) == set(control_dock.asked) == {"pairs"}


def test_a_saving_is_looked_for_in_sweeps_until_it_is_sure():
    dock, control_dock = Steady(1.0, 0.5), Steady(1.0, 1.0, cold_ms=2.0)
    again = tried_again(dock, control_dock)
    assert again.suspicion is None
    assert again.measured.timing.speedup == pytest.approx(2.0)
    assert SWEEPS_TO_BE_SURE < dock.asked.count("sweep") == control_dock.asked.count("sweep") < 100
    assert "cold pairs" not in control_dock.asked


@pytest.mark.parametrize(("cpu_ms", "flag"), [(0.5, None), (1.0, "clock_disagreement")])
def test_beside_others_a_saving_is_looked_for_in_the_cpu_s_time(monkeypatch, cpu_ms, flag):
    monkeypatch.setattr(Neighbours, "disturbance", lambda self: "others were there")
    again = tried_again(Steady(1.0, 0.5, cpu_ms=cpu_ms), Steady(1.0, 1.0))
    assert (again.suspicion and again.suspicion.flag) == flag
    assert again.excuse == (flag and "others were there")


@pytest.mark.parametrize(("cold_ms", "flag"), [(2.0, None), (1.2, "slowed_reference")])
def test_a_slow_reference_convicts_nobody_if_it_is_as_slow_with_nothing_in_the_caches(cold_ms, flag):
    dock, control_dock = Steady(2.0, 0.8), Steady(1.0, 1.0, cold_ms=cold_ms)
    again = tried_again(dock, control_dock)
    assert control_dock.asked.count("cold pairs") == 2 * COLD_BLOCKS
    assert (again.suspicion and again.suspicion.flag) == flag
    # Against the control, as always: what the reference took too long is nobody's gain.
    assert again.measured.timing.speedup == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("around_ms", "blocks", "flag"), [([2.1] * 8 + [1.2], 5, None), ([2.1], BLOCKS_TO_CONVICT, "clock_disagreement")]
)
def test_a_burst_around_the_candidate_s_pairs_is_told_from_hidden_work(around_ms, blocks, flag):
    dock, control_dock = Steady(1.0, 0.25, around_ms=around_ms), Steady(1.0, 1.0, around_ms=[1.1])
    again = tried_again(dock, control_dock)
    assert dock.asked.count("pairs") == control_dock.asked.count("pairs") == 2 * blocks
    assert (again.suspicion and again.suspicion.flag) == flag
    assert again.measured.timing.pairs == 12
