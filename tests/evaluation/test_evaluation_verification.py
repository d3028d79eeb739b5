"""What becomes of a worker's timing."""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.clock import verification
from pytest_kernelbench.evaluation.clock.estimates import Estimate
from pytest_kernelbench.evaluation.clock.freezing import DeviceBusy
from pytest_kernelbench.evaluation.clock.neighbours import Neighbours
from pytest_kernelbench.evaluation.clock.timing import paired_timing, sequential_timing
from pytest_kernelbench.evaluation.clock.turns import ControlFailed
from pytest_kernelbench.evaluation.clock.verification import Attested, Verifier
from pytest_kernelbench.evaluation.device.foreign import CannotRead
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.sharing import holds, lock
from pytest_kernelbench.records import Outcome

MARGIN = 0.05


@dataclass
class Floor:
    """A task whose floor is ``floor_ms``, and ``again_ms`` when it is measured again: the last of them from then on."""

    floor_ms: float | None
    again_ms: Sequence[float]
    device: str = "cpu"
    seconds_per_call: float = 0.01
    task_id: str = "made_up/9"

    def measure_floor(self):
        return self.floor_ms

    def lower_floor(self):
        again_ms, *later = self.again_ms
        self.again_ms = later or [again_ms]
        self.floor_ms = min(self.floor_ms, again_ms)
        return self.floor_ms

    def forget_floor(self):
        self.floor_ms = None


class Profiled:
    """A session whose calls keep the GPU busy for so long, by the profiler; it keeps what was asked of it."""

    slots = ("first", "second", "third")

    def __init__(self, busy_ms):
        self._busy_ms = busy_ms
        self.asked = []

    def have_slots(self, count):
        return list(self.slots[:count])

    def refresh(self, slots):
        return dict.fromkeys(slots, "drawn")

    def profile(self, slot):
        self.asked.append("profile")
        return SimpleNamespace(busy_ms=self._busy_ms)

    def check_timed(self, slots, drawn):
        assert set(slots) <= set(drawn)
        self.asked.append("check")


class Worker(str):
    """A worker of a candidate, by its name."""

    was_profiled = False


class Steady:
    """Pairs of processes whose calls take the same time in every turn, and a call that is alone ``alone_s``."""

    def __init__(self, candidate_s, fails=None, control=None, calls=1, alone_s=None):
        self.calls = calls
        self._alone_s = alone_s
        self._seconds = {"candidate": candidate_s, "control": 0.01}
        self._fails = fails
        self._control = control
        self.candidates, self.stayed = [], []
        self.n_lone_turns = self.n_last_controls = 0

    @contextmanager
    def two(self, number, candidate, seconds_per_call, quiet, *, stays):
        self.stayed.append(stays)
        self.candidates.append(candidate())
        yield self

    def close_ended(self):
        pass

    @contextmanager
    def last_control(self):
        self.n_last_controls += 1
        yield self._control

    def turn(self, side):
        if self._fails:
            raise self._fails("nothing can be said")
        return self._seconds[side]

    def lone_turns(self, side):
        self.n_lone_turns += 2
        return [self._alone_s if side == "candidate" else 0.0011] * 2

    def empty_turn(self):
        return 0.0001


@pytest.fixture
def others(monkeypatch):
    """Other programs use the share ``used[0]`` of the cores; nobody waits between two floors."""
    used = [0.0]
    monkeypatch.setattr(Neighbours, "of_judge", lambda device: SimpleNamespace(share=lambda: used[0]))
    monkeypatch.setattr(verification, "BETWEEN_FLOORS_S", 0.0)
    return used


@pytest.mark.parametrize(
    ("again_ms", "void", "floor_ms"), [([1.0], False, 1.0), ([2.2, 3.0, 1.9], False, 1.9), ([2.2], True, 2.2)]
)
def test_a_floor_that_a_busy_moment_gave_is_measured_again(others, again_ms, void, floor_ms):
    bench = Floor(floor_ms=2.2, again_ms=again_ms)
    found = Verifier(bench, MARGIN, None).beyond_physics(paired_timing([1.0] * 12, [1.0] * 12))
    assert (found is not None) is void and bench.floor_ms == floor_ms


def test_a_floor_that_stays_too_high_beside_other_programs_is_no_evidence_and_is_forgotten(others):
    others[0] = 0.3
    bench = Floor(floor_ms=2.2, again_ms=[2.2])
    assert Verifier(bench, MARGIN, None).beyond_physics(paired_timing([1.0] * 12, [1.0] * 12)) is None
    assert bench.floor_ms is None


def test_a_claim_is_an_interval_above_the_margin():
    verifier = Verifier(Floor(0.1, [0.1]), MARGIN, None)
    assert verifier.claims(paired_timing([1.06] * 12, [1.0] * 12))
    assert not verifier.claims(paired_timing([1.04] * 12, [1.0] * 12))
    assert not verifier.claims(sequential_timing([9.0] * 3, [1.0] * 3))


PROFILED = ["profile", "check"]


@pytest.mark.parametrize(
    ("busy_ms", "control_busy_ms", "void"), [(1.0, 2.0, False), (None, 2.0, True), (None, None, False)]
)
def test_on_a_gpu_a_claim_s_kernels_must_leave_a_record_where_the_reference_s_do(busy_ms, control_busy_ms, void):
    session, control = Profiled(busy_ms), Profiled(control_busy_ms)
    pairs = Steady(0.01, control=control)
    verifier = Verifier(Floor(0.1, [0.1], "cuda"), MARGIN, pairs)
    for _ in range(2):
        assert (verifier.unrecorded(session) is not None) is void
    assert session.asked == PROFILED * 2
    # A control is profiled where it is needed, once, and ends; a profiled one would be slower.
    assert (control.asked, pairs.n_last_controls) == ((PROFILED, 1) if busy_ms is None else ([], 0))


@pytest.mark.parametrize(("was_profiled", "used"), [(False, ["first", "another"]), (True, ["another"] * 2)])
def test_a_worker_that_was_profiled_is_not_timed(alone, was_profiled, used):
    pairs = Steady(0.008)
    verifier = Verifier(Floor(0.1, [0.1]), MARGIN, pairs)
    first = Worker("first")
    first.was_profiled = was_profiled
    assert verifier.attest(first, lambda: "another", 1e-3, 5.0).counted
    assert pairs.candidates == used
    assert pairs.stayed == [not was_profiled, False]


def test_a_control_without_a_record_beside_others_is_profiled_again(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "folder_for_all", lambda: tmp_path)
    control = Profiled(None)
    verifier = Verifier(Floor(0.1, [0.1], "cuda"), MARGIN, Steady(0.01, control=control))
    with holds.beside_others("made-up") as hold:
        verifier.unrecorded(Profiled(None))
        hold.be_alone()
        for _ in range(2):
            verifier.unrecorded(Profiled(None))
    assert control.asked == ["profile", "check"] * 2


def test_on_a_cpu_nothing_is_profiled():
    session = Profiled(None)
    assert Verifier(Floor(0.1, [0.1]), MARGIN, Steady(0.01)).unrecorded(session) is None
    assert session.asked == []


class Broken(Profiled):
    """A control whose profile cannot be made."""

    def profile(self, slot):
        raise CandidateFailed(Outcome.TIMEOUT, "no answer within 60 s while being profiled")


def test_a_control_that_cannot_be_profiled_is_tried_alone_before_anything_is_said_of_the_candidate():
    pairs, tried = Steady(0.01, control=Broken(2.0)), []

    def must_work_alone(failure):
        tried.append(str(failure))
        raise HarnessError("made_up/9: the reference fails its own trial")

    pairs.must_work_alone = must_work_alone
    with pytest.raises(HarnessError, match="fails its own trial"):
        Verifier(Floor(0.1, [0.1], "cuda"), MARGIN, pairs).unrecorded(Profiled(None))
    assert tried == ["no answer within 60 s while being profiled"]


def test_a_reference_that_fails_beside_others_is_no_verdict_and_leaves_no_control():
    pairs, ended = Steady(0.01), []

    def prepare():
        raise ControlFailed("no answer within 60 s while loading")

    pairs.prepare, pairs.close = prepare, (lambda: ended.append(True))
    with pytest.raises(HarnessError) as raised:
        Verifier(Floor(0.1, [0.1], "cuda"), MARGIN, pairs).prepare()
    assert str(raised.value) == (
        "made_up/9: the reference fails in a worker of its own (no answer within 60 s while loading); check the task"
    )
    assert ended == [True]


@pytest.fixture
def alone(monkeypatch):
    monkeypatch.setattr(Neighbours, "used_and_had", lambda self: (0.0, 1.0))


def test_the_worker_that_made_the_claim_is_measured_first_and_then_another(alone):
    pairs = Steady(0.008)
    attested = Verifier(Floor(0.1, [0.1]), MARGIN, pairs).attest(Worker("first"), lambda: "another", 1e-3, 5.0)
    assert attested.counted
    assert attested.to_json()["attested"] == pytest.approx(0.0099 / 0.0079)
    assert (pairs.candidates, pairs.stayed) == (["first", "another"], [True, False])


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("candidate_s", [0.008, 0.005])
def test_a_claim_is_looked_at_alone_however_small_it_is(alone, device, candidate_s):
    pairs = Steady(candidate_s, calls=2, alone_s=0.0001)
    assert (
        Verifier(Floor(0.1, [0.1], device), MARGIN, pairs).attest(Worker("first"), lambda: "another", 1e-3, 5.0).counted
    )
    assert pairs.n_lone_turns > 0
    # In the processes of the last series: no other one is started for it.
    assert (pairs.candidates, pairs.stayed) == (["first", "another"], [True, False])


@pytest.mark.parametrize(("alone_s", "counted"), [(0.0006, True), (0.0011, False)])
def test_a_claim_that_is_not_seen_where_a_call_is_alone_does_not_count(alone, alone_s, counted):
    pairs = Steady(0.003, calls=10, alone_s=alone_s)
    told = Verifier(Floor(0.1, [0.1]), MARGIN, pairs).attest(Worker("first"), lambda: "another", 1e-3, 0.5).to_json()
    assert told["counted"] is counted
    assert told["attested_low"] > 1.05
    if not counted:
        assert told["uncounted_because"].startswith("a call that is alone in its turn saves 0 ms, and among others at")


def test_a_forged_claim_does_not_count_and_its_record_says_why(alone):
    told = (
        Verifier(Floor(0.1, [0.1]), MARGIN, Steady(0.01))
        .attest(Worker("first"), lambda: "another", 1e-3, 5.0)
        .to_json()
    )
    assert told["counted"] is False
    assert told["uncounted_because"].startswith("by the judge's clock it is 1 [0.9")
    assert told["attested_low"] < told["attested"] == 1.0 < told["attested_high"]


@pytest.mark.parametrize("fails", [DeviceBusy, CannotRead])
def test_where_the_judge_can_say_nothing_a_claim_does_not_count(alone, fails):
    closed = []
    first = SimpleNamespace(was_profiled=False, close=lambda: closed.append("first"))
    attested = Verifier(Floor(0.1, [0.1]), MARGIN, Steady(0.005, fails=fails)).attest(
        first, lambda: "another", 1e-3, 5.0
    )
    assert attested == Attested(None, False, "nothing can be said")
    assert attested.to_json() == {"counted": False, "uncounted_because": "nothing can be said"}
    # Work that it queued may be why the device is busy.
    assert closed == ["first"]


def test_a_reference_that_fails_beside_a_claim_is_tried_without_the_claim_s_worker(alone):
    pairs, did = Steady(0.005, fails=ControlFailed), []

    def must_work_alone(failure):
        did.append(str(failure))
        raise CandidateFailed(Outcome.VOID, "the reference fails beside it, and not alone", ("works_unasked",))

    pairs.must_work_alone = must_work_alone
    first = SimpleNamespace(was_profiled=False, close=lambda: did.append("first ends"))
    with pytest.raises(CandidateFailed, match="and not alone"):
        Verifier(Floor(0.1, [0.1]), MARGIN, pairs).attest(first, lambda: "another", 1e-3, 5.0)
    assert did == ["first ends", "nothing can be said"]


def test_an_estimate_without_an_interval_is_not_told():
    assert "attested" not in Attested(Estimate(2.0, 0.0, float("inf")), False, "too few turns").to_json()
