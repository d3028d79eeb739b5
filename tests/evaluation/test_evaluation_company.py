"""How a trial has the device: beside others, or alone, and what becomes of one that may have failed for them."""

import threading
import weakref
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from made_up_trials import NO_MEMORY, Ended, starting
from made_up_turns import Worker
from waiting_for_locks import until_somebody_waits_to_be_alone

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import company, trial
from pytest_kernelbench.evaluation.building.builds import Built
from pytest_kernelbench.evaluation.clock.freezing import DeviceBusy
from pytest_kernelbench.evaluation.clock.gate_trial import SideFailed
from pytest_kernelbench.evaluation.clock.pairs import Pairs
from pytest_kernelbench.evaluation.clock.turns import ControlFailed, of_control
from pytest_kernelbench.evaluation.correctness.examination import Examined
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.sharing import holds, lock
from pytest_kernelbench.evaluation.shortage import may_be_for_company
from pytest_kernelbench.evaluation.trials import Trials
from pytest_kernelbench.records import AgainstBaseline, Outcome

pytestmark = pytest.mark.usefixtures("own_locks")


NO_TIME = CandidateFailed(Outcome.TIMEOUT, "no answer within 10 s while warming up")
BESIDE, LARGE, ALONE = "beside others", "beside others, as the one large trial", "alone"


def kind_of(hold):
    return ALONE if hold.is_alone else LARGE if lock._is_held("made-up-large", None) else BESIDE


@pytest.mark.parametrize(
    ("failure", "tries"),
    [
        (CandidateFailed(Outcome.TIMEOUT, "no answer within 10 s"), [BESIDE, ALONE]),
        (HarnessError("made_up/9_batch: a worker does not start"), [BESIDE, ALONE]),
        (NO_MEMORY, [BESIDE, LARGE, ALONE]),
        (CandidateFailed(Outcome.RUNTIME_ERROR, "RuntimeError: CUBLAS_STATUS_ALLOC_FAILED"), [BESIDE, LARGE, ALONE]),
        (torch.OutOfMemoryError("the judge's own"), [BESIDE, LARGE, ALONE]),
        (CandidateFailed(Outcome.BUILD_ERROR, "OutOfMemoryError: CUDA out of memory (x.py:8)"), [BESIDE, LARGE, ALONE]),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED at `cublasCreate(handle)`"), [BESIDE, LARGE, ALONE]),
        (HarnessError("made_up/9_batch: it needs more memory (CUDA out of memory)"), [BESIDE, LARGE, ALONE]),
        (CandidateFailed(Outcome.BUILD_ERROR, "NameError: name 'x' is not defined"), [BESIDE]),
        (CandidateFailed(Outcome.RUNTIME_ERROR, "ZeroDivisionError"), [BESIDE]),
        (CandidateFailed(Outcome.INCORRECT, "wrong"), [BESIDE]),
    ],
)
def test_what_may_have_failed_for_its_company_is_tried_again_and_at_last_alone(trials, monkeypatch, failure, tries):
    for succeeds in range(1, len(tries) + (len(tries) == 1)):
        seen = []

        def judge(setting, hold, source, notes, seen=seen, succeeds=succeeds):
            seen.append(kind_of(hold))
            assert "speedup" not in notes.found
            notes.found["speedup"] = 2.0
            if len(seen) <= succeeds:
                raise failure

        monkeypatch.setattr("pytest_kernelbench.evaluation.trial._judge", judge)
        evaluation = trial.evaluate(replace(trials[0]._setting, beside_others=True), "class ModelNew: pass", Built())
        assert seen == tries[: succeeds + 1]
        assert evaluation.outcome is (failure.outcome if len(tries) == 1 else Outcome.CORRECT)


@pytest.mark.parametrize("n_failures", [1, 2])
def test_before_it_is_tried_again_what_its_calls_held_is_given_back(trials, monkeypatch, n_failures):
    # Others are not timed then, and the next try may wait for long.
    held, given_back = [], []

    def leave_room(for_long=False):
        given_back.append((holds.has_company(), [each() for each in held]))

    monkeypatch.setattr("pytest_kernelbench.evaluation.device.cpu.leave_room", leave_room)

    def ask(hold):
        if len(held) < n_failures:
            answer = torch.zeros(4)
            held.append(weakref.ref(answer))
            try:
                raise torch.OutOfMemoryError("no memory")
            except RuntimeError:
                raise NO_MEMORY  # noqa: B904

    setting = replace(trials[0]._setting, beside_others=True)
    company.in_turn(setting, ask)
    assert given_back == [(True, [None] * number) for number in range(1, n_failures + 1)]


def test_a_candidate_that_gives_no_answer_while_it_is_timed_is_not_tried_again(trials, monkeypatch):
    holds_seen = []

    def judge(setting, hold, source, notes):
        hold.be_alone()
        holds_seen.append(hold)
        raise CandidateFailed(Outcome.TIMEOUT, "no answer within 60 s while being timed")

    monkeypatch.setattr("pytest_kernelbench.evaluation.trial._judge", judge)
    evaluation = trial.evaluate(replace(trials[0]._setting, beside_others=True), "class ModelNew: pass", Built())
    assert (evaluation.outcome, len(holds_seen)) == (Outcome.TIMEOUT, 1)


@pytest.mark.parametrize(("share", "has_turn"), [(0.1, False), (1e-9, True)])
def test_a_trial_of_a_large_task_has_the_turn_of_large_trials(trials, monkeypatch, share, has_turn):
    monkeypatch.setattr("pytest_kernelbench.evaluation.handles.racks.SHARE_KEPT_BESIDE_OTHERS", share)
    setting = replace(trials[0]._setting, beside_others=True)
    assert company.in_turn(setting, lambda hold: lock._is_held("made-up-large", None)) is has_turn


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

    def wait_until_idle(within_s):
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
        "pytest_kernelbench.evaluation.device.cpu.leave_room", lambda *_, **__: given_back.append(holds.has_company())
    )
    setting = starting(Ended, trials[0]._setting, beside_others=True)
    trial.evaluate(setting, "class ModelNew: pass", Built())
    assert given_back and all(given_back)
    given_back.clear()
    with holds.beside_others("made-up") as hold:
        company.wait_to_be_alone(setting, Waiting(), hold)
    assert given_back == [True]


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
    session.close, session.load, session.built_s = (lambda: None), (lambda source: None), 0.0
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
    ("cause", "tries"),
    [
        (NO_MEMORY, [BESIDE, LARGE]),
        (CandidateFailed(Outcome.TIMEOUT, "no answer within 60 s while loading"), [BESIDE, ALONE]),
        (CandidateFailed(Outcome.INCORRECT, "wrong"), [BESIDE]),
    ],
)
def test_a_baseline_is_started_beside_others_and_again_where_it_may_have_failed_for_them(
    trials, monkeypatch, cause, tries
):
    seen = []

    def time_beside(bench, checked, margin, name, be_alone):
        seen.append(ALONE if not holds.has_company() else LARGE if lock._is_held("made-up-large", None) else BESIDE)
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
    assert seen == tries
    assert found.failed == (None if len(tries) == 2 else "baseline")


@pytest.mark.parametrize(
    ("cause", "hold", "outcome", "flags"),
    [
        (NO_MEMORY, holds.beside_others, Outcome.RUNTIME_ERROR, ()),
        (NO_MEMORY, holds.alone, Outcome.RUNTIME_ERROR, ()),
        (NO_TIME, holds.beside_others, Outcome.TIMEOUT, ()),
        (NO_TIME, holds.alone, Outcome.VOID, ("works_unasked",)),
        (CandidateFailed(Outcome.INCORRECT, "error 2"), holds.beside_others, Outcome.VOID, ("works_unasked",)),
    ],
)
def test_where_others_may_have_left_the_reference_no_memory_or_no_time_no_candidate_is_void(
    cause, hold, outcome, flags
):
    """An honest kernel of level1/78 was void, because seven other judges held the memory of an H200."""
    with hold("made-up"), pytest.raises(CandidateFailed) as raised:
        try:
            with of_control():
                raise cause
        except ControlFailed as failure:
            Pairs(SimpleNamespace(task_id="made_up/9"), Worker).must_work_alone(failure)
    assert (raised.value.outcome, raised.value.flags) == (outcome, flags)
    # So its trial is repeated without the others.
    assert may_be_for_company(raised.value, timed=False) is (outcome is not Outcome.VOID)
