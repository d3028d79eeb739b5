"""How a trial has the device: beside others, or alone, and what becomes of one that lacked memory or time."""

import gc
import socket
import threading
import weakref
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from made_up_tasks import task
from waiting_for_locks import until_somebody_waits_to_be_alone

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import company, trial
from pytest_kernelbench.evaluation.building.builds import Built
from pytest_kernelbench.evaluation.clock.freezing import DeviceBusy
from pytest_kernelbench.evaluation.clock.gate_trial import SideFailed
from pytest_kernelbench.evaluation.clock.timing import paired_timing
from pytest_kernelbench.evaluation.clock.turns import ControlFailed
from pytest_kernelbench.evaluation.clock.verification import Verifier
from pytest_kernelbench.evaluation.correctness.examination import Examined
from pytest_kernelbench.evaluation.correctness.tolerances import REFRESHED
from pytest_kernelbench.evaluation.device.cpu import NoClocks
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.sessions import Sessions
from pytest_kernelbench.evaluation.notes import Notes
from pytest_kernelbench.evaluation.sharing import holds, lock
from pytest_kernelbench.evaluation.trials import Known, Trials
from pytest_kernelbench.records import AgainstBaseline, Outcome
from pytest_kernelbench.tasks.findings import SEEDED

MADE = task("9_batch", "def forward(self, x):\n    return torch.relu(x)", inputs="torch.rand(30, n)", n=500)


@pytest.fixture(autouse=True)
def own_locks(tmp_path, monkeypatch):
    """Locks that no other test waits for."""
    monkeypatch.setattr(lock, "folder_for_all", lambda: tmp_path)


class Workers:
    """None is needed: no candidate is tried."""

    def keep_ready(self, hardware_id):
        pass


def starting(make, setting, **changes):
    """The setting with another way to start workers."""
    sessions = Sessions(Workers(), "cpu", cache=Path("builds"), watch=None)
    sessions.start = lambda bench, rack: make()
    return replace(setting, sessions=sessions, **changes)


@pytest.fixture
def trials():
    """Trials of a task, with no worker to be had."""
    case = {
        **{"task": MADE.id, "source": MADE.source, "seed": 0},
        **{"protocol": "fast", "torch_operators": "allowed", "cache": "builds"},
        **{"precision": "float32", "parameters": "any"},
    }
    owner, judge = socket.socketpair()
    with owner, judge:
        # In a list: a test may let go of them.
        yield [
            Trials(
                case,
                owner=judge,
                workers=Workers(),
                device="cpu",
                hardware_id="made-up",
                clocks=NoClocks(),
                known=Known(),
            )
        ]


def test_a_task_s_tensors_go_with_its_last_trial(trials):
    # On a GPU of 80 GB, inputs of the task before were 8.6 GB that the next one lacked.
    gc.disable()
    try:
        (bench := trials[0]._setting.bench).answers_to(bench.check(0, "task"))
        kept = [weakref.ref(each) for each in (bench, bench.example_inputs[0])]
        del bench
        trials.pop().close()
        assert [each() for each in kept] == [None, None]
    finally:
        gc.enable()


class Ended:
    """A worker that ends before it is ready."""

    def wait_until_ready(self):
        raise CandidateFailed(Outcome.RUNTIME_ERROR, "the process ended")

    def close(self):
        pass

    end = close


@pytest.mark.parametrize(("share", "left"), [(0.1, True), (1e-9, False)])
def test_slots_that_take_much_of_a_device_are_freed_while_other_judges_have_it(trials, monkeypatch, share, left):
    monkeypatch.setattr("pytest_kernelbench.evaluation.handles.racks.SHARE_KEPT_BETWEEN_TRIALS", share)
    setting = starting(Ended, trials[0]._setting)
    setting.rack.first(2)
    assert trial.evaluate(setting, "class ModelNew: pass", Built()).detail == "the process ended"
    assert (setting.rack.n_bytes > 0) is left
    assert len(setting.rack.first(2)) == 2


def test_tolerances_are_measured_before_slots_take_the_memory(trials):
    setting, seen = trials[0]._setting, []

    class Noting(Ended):
        def wait_until_ready(self):
            seen.append((REFRESHED in setting.bench._tolerances, setting.rack.n_bytes))
            super().wait_until_ready()

    assert REFRESHED not in setting.bench._tolerances
    trial.evaluate(starting(Noting, setting), "class ModelNew: pass", Built())
    assert seen == [(True, 0)]


class Idle(Ended):
    """A worker that is asked for nothing."""

    built_s = 0.0


NO_MEMORY = CandidateFailed(Outcome.RUNTIME_ERROR, "OutOfMemoryError: CUDA out of memory. Tried to allocate 4.00 GiB.")


@pytest.mark.parametrize("second", [None, NO_MEMORY, CandidateFailed(Outcome.INCORRECT, "wrong")])
def test_a_candidate_that_finds_no_memory_is_tried_once_more_with_the_fewest_slots(trials, monkeypatch, second):
    setting, pairs = trials[0]._setting, []

    def judge(setting, hold, source, notes):
        pairs.append(setting.rack.pairs_in_memory(64))
        notes.found["speedup"] = float(len(pairs))
        if len(pairs) == 1 or second is not None:
            raise NO_MEMORY if len(pairs) == 1 else second

    monkeypatch.setattr("pytest_kernelbench.evaluation.trial._judge", judge)
    evaluation = trial.evaluate(setting, "class ModelNew: pass", Built())
    assert (len(pairs), pairs[0] > 1, pairs[1]) == (2, True, 1)
    assert evaluation.outcome is (Outcome.CORRECT if second is None else second.outcome)
    assert evaluation.speedup == (2.0 if second is None else None)
    # One candidate cannot leave the next ones with fewer calls to be timed by.
    assert setting.rack.pairs_in_memory(64) == pairs[0]


@pytest.mark.parametrize(
    ("first", "times"),
    [
        (CandidateFailed(Outcome.TIMEOUT, "no answer within 10 s"), 2),
        (NO_MEMORY, 2),
        (CandidateFailed(Outcome.RUNTIME_ERROR, "RuntimeError: CUBLAS_STATUS_ALLOC_FAILED"), 2),
        (torch.OutOfMemoryError("the judge's own"), 2),
        (CandidateFailed(Outcome.BUILD_ERROR, "OutOfMemoryError: CUDA out of memory (candidate.py:8)"), 2),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"), 2),
        (HarnessError("made_up/9_batch: a worker does not start"), 2),
        (CandidateFailed(Outcome.BUILD_ERROR, "NameError: name 'x' is not defined"), 1),
        (CandidateFailed(Outcome.RUNTIME_ERROR, "ZeroDivisionError"), 1),
        (CandidateFailed(Outcome.INCORRECT, "wrong"), 1),
    ],
)
def test_what_may_have_failed_for_its_company_is_tried_again_alone(trials, monkeypatch, first, times):
    holds = []

    def judge(setting, hold, source, notes):
        holds.append(hold.is_alone)
        assert "speedup" not in notes.found
        notes.found["speedup"] = 2.0
        if len(holds) == 1:
            raise first

    monkeypatch.setattr("pytest_kernelbench.evaluation.trial._judge", judge)
    evaluation = trial.evaluate(replace(trials[0]._setting, beside_others=True), "class ModelNew: pass", Built())
    assert holds == [False, True][:times]
    assert evaluation.outcome is (Outcome.CORRECT if times == 2 else first.outcome)


def test_a_candidate_that_gives_no_answer_while_it_is_timed_is_not_tried_again(trials, monkeypatch):
    holds_seen = []

    def judge(setting, hold, source, notes):
        hold.be_alone()
        holds_seen.append(hold)
        raise CandidateFailed(Outcome.TIMEOUT, "no answer within 60 s while being timed")

    monkeypatch.setattr("pytest_kernelbench.evaluation.trial._judge", judge)
    evaluation = trial.evaluate(replace(trials[0]._setting, beside_others=True), "class ModelNew: pass", Built())
    assert (evaluation.outcome, len(holds_seen)) == (Outcome.TIMEOUT, 1)


class NoRoom(Ended):
    """A worker for which the judge finds no memory."""

    def wait_until_ready(self):
        raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(("hold_of", "raised"), [(holds.beside_others, RuntimeError), (holds.alone, HarnessError)])
def test_memory_that_a_judge_lacks_is_nobody_s_fault_while_stopped_candidates_may_hold_it(trials, hold_of, raised):
    setting = starting(NoRoom, trials[0]._setting)
    with hold_of("made-up") as hold, pytest.raises(raised, match="out of memory"):
        hold.be_alone()
        trial._judge(setting, hold, "class ModelNew: pass", Notes({}))


@pytest.mark.parametrize(("pairs", "beside_others", "alone"), [(5, [1], [12]), (7, [12], [12])])
def test_beside_others_a_large_task_has_one_slot_until_it_is_timed(trials, monkeypatch, pairs, beside_others, alone):
    # A tenth of the device is room for so many pairs; a block has six.
    setting = trials[0]._setting
    memory_bytes = int(10 * (pairs + 0.5) * setting.bench.bytes_of_pair)
    monkeypatch.setattr("pytest_kernelbench.evaluation.device.cpu.memory_bytes", lambda: memory_bytes)
    for hold, expected in ((holds.beside_others, beside_others), (holds.alone, alone)):
        asked_for = []
        session = SimpleNamespace(rack=setting.rack, built_s=0.0, have_slots=asked_for.append)
        session.wait_until_ready, session.load = (lambda: None), (lambda source, timeout_s: None)
        with hold("made-up") as held:
            trial._load(setting, held, session, "class ModelNew: pass", {})
        assert asked_for == expected


class Waiting:
    """A session that can be stopped, and whether it is."""

    def __init__(self):
        self.is_stopped = False

    @contextmanager
    def stopped(self):
        self.is_stopped = True
        yield
        self.is_stopped = False


@pytest.mark.parametrize("left_work", [False, True])
def test_work_that_a_stopped_candidate_left_on_the_device_disturbs_no_other_one(trials, monkeypatch, left_work):
    # It may be another trial's: that one waits, stopped, and its kernel goes on.
    setting, sessions, asked = trials[0]._setting, [], []

    def wait_until_idle():
        asked.append(sessions[-1].is_stopped)
        if left_work:
            raise DeviceBusy("the GPU was at work for 2 s while no process might compute")

    monkeypatch.setattr("pytest_kernelbench.evaluation.device.cpu.wait_until_idle", wait_until_idle)

    def ask(hold):
        sessions.append(Waiting())
        company.wait_to_be_alone(setting, sessions[-1], hold)
        return hold.is_alone, sessions[-1].is_stopped

    with holds.beside_others("made-up") as hold:
        if left_work:
            with pytest.raises(HarnessError) as raised:
                ask(hold)
            assert str(raised.value) == (
                "made_up/9_batch: the GPU was at work for 2 s while no process might compute; end what else runs on it "
                "and run again"
            )
        else:
            assert ask(hold) == (True, False)
    assert asked == [True]
    # Such a trial is repeated where no other candidate is there, not even a stopped one.
    assert company.in_turn(replace(setting, beside_others=True), ask) == (True, False)
    assert asked == [True, True]


def test_what_torch_keeps_is_given_back_before_another_judge_has_the_device(trials, monkeypatch):
    given_back = []
    monkeypatch.setattr(
        "pytest_kernelbench.evaluation.device.cpu.leave_room", lambda: given_back.append(holds.has_company())
    )
    setting = starting(Ended, trials[0]._setting, beside_others=True)
    trial.evaluate(setting, "class ModelNew: pass", Built())
    assert given_back == [True]
    with holds.beside_others("made-up") as hold:
        company.wait_to_be_alone(setting, Waiting(), hold)
    assert given_back == [True, True]


def test_two_kernels_take_turns_while_no_candidate_waits_for_the_device(trials, monkeypatch):
    # One that waits holds memory, which the two may lack.
    compared = threading.Event()
    monkeypatch.setattr(Trials, "_both_checked", lambda *_: {})
    monkeypatch.setattr("pytest_kernelbench.evaluation.trials.compare", lambda *_: compared.set())
    with holds.beside_others("made-up") as hold:
        comparing = threading.Thread(target=lambda: trials[0].comparison("", "", None), daemon=True)
        hold.be_alone()
        comparing.start()
        until_somebody_waits_to_be_alone("made-up-candidates", lock.folder_for_all())
        assert not compared.is_set()
    comparing.join(20)
    assert compared.is_set()


def test_a_kernel_to_be_compared_is_checked_beside_others_and_timed_alone(trials, monkeypatch):
    session, checked = Waiting(), []
    session.close, session.load, session.built_s = (lambda: None), (lambda source, timeout_s: None), 0.0
    trials[0]._setting = starting(lambda: session, trials[0]._setting, beside_others=True)

    def examine(*_):
        checked.append(holds.has_company())
        return Examined(0.001, ())

    def ms_of_calls(*_):
        checked.append(holds.has_company())
        return 2.0

    monkeypatch.setattr("pytest_kernelbench.evaluation.trials.examine_with_either_weights", examine)
    monkeypatch.setattr("pytest_kernelbench.evaluation.trials.ms_of_calls", ms_of_calls)
    assert trials[0]._checked("", None, Built()).call_ms == 2.0
    assert checked == [True, False]


@pytest.mark.parametrize(
    ("findings", "outcome", "uncounted_because"),
    [
        ({}, Outcome.VOID, ""),
        ({"repeatable": SEEDED}, Outcome.VOID, ""),
        ({"constant": True}, Outcome.CORRECT, "the task's answer does not depend on its inputs"),
    ],
)
def test_no_evidence_is_looked_for_where_the_answer_is_a_constant(
    trials, monkeypatch, findings, outcome, uncounted_because
):
    # A kernel that returns ones that it made before has launched no kernel, and needs less time than any copy.
    monkeypatch.setattr(trial, "examine_with_either_weights", lambda *_: Examined(0.001, ()))
    monkeypatch.setattr(trial, "propose", lambda *_, **__: paired_timing([2.0] * 12, [1e-6] * 12))
    monkeypatch.setattr(trial, "_load", lambda *_: None)
    monkeypatch.setattr(trial, "examine_what_is_not_covered", lambda *_: None)
    monkeypatch.setattr(Verifier, "unrecorded", None)
    setting = trials[0]._setting
    setting = replace(setting, findings=replace(setting.findings, **findings), other_sizes=None)
    found = trial.evaluate(starting(Idle, setting), "class ModelNew: pass", Built())
    assert (found.outcome, found.uncounted_because) == (outcome, uncounted_because), found.detail
    assert found.counted is (False if uncounted_because else None)


def test_where_other_processes_hold_the_memory_it_is_the_harness_that_failed(trials, monkeypatch):
    monkeypatch.setattr("pytest_kernelbench.evaluation.trial.is_gpu", lambda device: True)
    monkeypatch.setattr("pytest_kernelbench.evaluation.device.cpu.bytes_of_others", lambda: 60 << 30)
    monkeypatch.setattr("pytest_kernelbench.evaluation.device.cpu.memory_bytes", lambda: 80 << 30)

    def judge(*_):
        raise NO_MEMORY

    monkeypatch.setattr("pytest_kernelbench.evaluation.trial._judge", judge)
    with pytest.raises(HarnessError) as raised:
        trial.evaluate(trials[0]._setting, "class ModelNew: pass", Built())
    assert str(raised.value) == (
        "made_up/9_batch: a candidate finds no memory on the device, of which other processes hold 75%; "
        "end them, or use fewer workers (-n), and run again to resume"
    )


@pytest.mark.parametrize(
    ("cause", "times"),
    [
        (NO_MEMORY, 2),
        (CandidateFailed(Outcome.TIMEOUT, "no answer within 60 s while loading"), 2),
        (CandidateFailed(Outcome.INCORRECT, "wrong"), 1),
    ],
)
def test_a_baseline_is_started_beside_others_and_alone_where_it_may_have_failed_for_them(
    trials, monkeypatch, cause, times
):
    seen = []

    def time_beside(bench, checked, margin, name, be_alone):
        seen.append(holds.has_company())
        if len(seen) == 1:
            try:
                raise ControlFailed("in its own process") from cause
            except ControlFailed as failure:
                raise SideFailed("baseline", "failed") from failure
        be_alone()
        return AgainstBaseline(baseline=name, counted=True)

    monkeypatch.setattr("pytest_kernelbench.evaluation.trials.time_beside", time_beside)
    monkeypatch.setattr(Trials, "_both_checked", lambda *_, keep: {})
    trials[0]._setting = replace(trials[0]._setting, beside_others=True)
    found = trials[0].against("", "", "compile")
    assert seen == [True, False][:times]
    assert found.failed == (None if times == 2 else "baseline")
