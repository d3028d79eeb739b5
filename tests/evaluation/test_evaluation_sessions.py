"""The workers of one task's trials, from their start to their end."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_kernelbench.evaluation.device.traits import DEVICES, traits_of
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.sessions import Sessions
from pytest_kernelbench.records import Outcome


class Worker:
    """What was asked of a worker, in order."""

    def __init__(self):
        self.asked = []

    def end(self):
        self.asked.append("end")

    def close(self):
        self.asked.append("close")


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def sessions(worker):
    made = Sessions(None, "cpu", cache=Path("builds"), watch=None)
    made.start = lambda bench, rack: worker
    return made


def test_a_worker_that_was_needed_for_a_while_begins_to_end_and_is_waited_for_once(sessions, worker):
    with sessions.for_a_while(None, None) as session:
        assert session is worker
        sessions.wait_for_ends()
        assert worker.asked == []
    assert worker.asked == ["end"]
    sessions.wait_for_ends()
    sessions.wait_for_ends()
    assert worker.asked == ["end", "close"]


def test_a_worker_whose_candidate_is_wrong_begins_to_end_too(sessions, worker):
    with pytest.raises(ValueError), sessions.for_a_while(None, None):
        raise ValueError
    assert worker.asked == ["end"]


class Kept:
    """The judge's workers: which are kept for controls, and which were taken."""

    def __init__(self):
        self.controls, self.taken = [], 0

    @property
    def has_place_for_control(self):
        return len(self.controls) < traits_of("cpu").kept_controls

    def keep_control(self, worker):
        self.controls.append(worker)

    def kept_control(self):
        return self.controls.pop() if self.controls else None

    def take(self):
        self.taken += 1
        return f"worker {self.taken}"


class Control(Worker):
    """A session of a worker that can be released, unless it ``fails``; so does its load."""

    def __init__(self, process, *, fails=False):
        super().__init__()
        self.process, self._fails = process, fails

    def release(self):
        self.asked.append("release")
        return self._or_fails(self.process)

    def load(self, source, *, weights):
        self.asked.append("load")
        self._or_fails(None)

    def _or_fails(self, answer):
        if self._fails:
            raise CandidateFailed(Outcome.RUNTIME_ERROR, "the process ended")
        return answer


@pytest.fixture
def keeping(monkeypatch):
    """Sessions on a device whose controls are kept, and the processes that fail."""
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], kept_controls=4))
    made, failing = Sessions(Kept(), "cpu", cache=Path("builds"), watch=None), set()
    made._session_of = lambda worker, bench, rack: Control(worker, fails=worker in failing)
    return made, failing


BENCH = SimpleNamespace(source="the reference")


def test_a_control_serves_the_next_task_without_a_start(keeping):
    sessions, _ = keeping
    sessions.keep_control(sessions.start_control(BENCH, None))
    assert sessions.start_control(BENCH, None).process == "worker 1"
    assert sessions.start_control(BENCH, None).process == "worker 2"
    assert sessions.workers.taken == 2


def test_a_kept_control_that_fails_with_the_next_task_is_replaced(keeping):
    sessions, failing = keeping
    sessions.keep_control(sessions.start_control(BENCH, None))
    failing.add("worker 1")
    assert sessions.start_control(BENCH, None).process == "worker 2"


@pytest.mark.parametrize("keeps", [True, False])
def test_a_control_that_is_not_kept_ends(keeping, monkeypatch, keeps):
    sessions, failing = keeping
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], kept_controls=4 * keeps))
    failing |= {"worker 1"} if keeps else set()
    control = Control("worker 1", fails=keeps)
    sessions.keep_control(control)
    sessions.wait_for_ends()
    assert sessions.workers.controls == []
    assert control.asked == [*(["release"] if keeps else []), "end", "close"]
