"""When a worker is stopped, and what it may compute then."""

import time
from itertools import count
from types import SimpleNamespace

import pytest
import torch

from pytest_kernelbench.evaluation.clock.freezing import StillStarting
from pytest_kernelbench.evaluation.device import cpu
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles import stoppable, worker_requests
from pytest_kernelbench.evaluation.sharing.giving_way import giving_way
from pytest_kernelbench.records import Outcome


def test_a_question_wakes_a_worker_that_is_stopped_for_as_long_as_it_answers(session):
    did = []
    session._tree = SimpleNamespace(
        stop=lambda: did.append("stop"),
        stop_all=lambda: did.append("stop"),
        go_on=lambda: did.append("go on"),
        close=lambda: None,
    )
    session.freeze()
    session.warm(*session.slots, times=1)
    assert did == ["stop", "go on", "stop"]
    session.thaw()
    session.warm(*session.slots, times=1)
    assert did == ["stop", "go on", "stop", "go on"]


def test_what_computes_although_it_is_stopped_is_void(session, worker, monkeypatch):
    ticks = count(step=0.05)
    monkeypatch.setattr(worker, "spent_seconds", lambda: next(ticks))
    session.freeze()
    with pytest.raises(CandidateFailed) as failure:
        session.thaw()
    assert failure.value.detail == "computed for 50 ms while it was stopped"
    assert (failure.value.outcome, failure.value.flags) == (Outcome.VOID, ("works_unasked",))


def test_a_long_wait_for_the_device_allows_no_more_work_in_later_pauses(session, worker, monkeypatch):
    now, spent = {"s": 0.0}, {"s": 0.0}
    clock = SimpleNamespace(perf_counter=lambda: now["s"], monotonic=time.monotonic, sleep=time.sleep)
    monkeypatch.setattr(stoppable, "time", clock)
    monkeypatch.setattr(worker, "spent_seconds", lambda: spent["s"])
    with session.stopped():
        now["s"] += 100
        spent["s"] += 1
    session.freeze()
    now["s"] += 0.01
    spent["s"] += 0.05
    with pytest.raises(CandidateFailed) as failure:
        session.thaw()
    assert failure.value.detail == "computed for 50 ms while it was stopped"


@pytest.fixture
def passing(session, monkeypatch):
    """Others pass at each look: notes for how long, and whether the worker could be stopped at once."""
    made = SimpleNamespace(stands=[], did=[], looks=0)

    def way():
        made.looks += 1
        with session.stopped():
            made.did.append("others")
            time.sleep(0.1)

    def stop_all():
        made.did.append("stop")
        return made.stands.pop() if made.stands else True

    session._tree = SimpleNamespace(stop_all=stop_all, go_on=lambda: made.did.append("go on"), close=lambda: None)
    monkeypatch.setattr(worker_requests, "BETWEEN_LOOKS_S", 0.01)
    with giving_way(way):
        yield made


def test_while_a_worker_answers_it_is_stopped_for_others_and_may_have_computed_until_it_stands(
    session, worker, passing, monkeypatch
):
    ticks = count(step=1.0)
    monkeypatch.setattr(worker, "spent_seconds", lambda: next(ticks))
    worker.answers_after = lambda: passing.looks >= 2
    # Each time once more, because a driver's call had not returned.
    passing.stands = [False, False]
    started = time.monotonic()
    session.warm(*session.slots, times=1)
    assert passing.did == ["stop", "stop", "stop", "others", "go on", "stop", "others", "go on"]
    assert 0.2 <= session.paused_s < time.monotonic() - started


def test_what_a_worker_waits_for_others_is_no_part_of_its_time_and_of_its_limit(session, worker, passing):
    worker.answers_after = lambda: passing.looks >= 3
    _, seconds = session.ask_by_the_clock({"ask": "run", "slot": 0}, doing="running", timeout_s=0.25)
    assert session.paused_s >= 0.3
    assert seconds < 0.25


@pytest.mark.parametrize("ask", sorted(worker_requests.TIMED))
def test_a_worker_that_is_timed_is_not_stopped(session, worker, passing, ask):
    begun = time.monotonic()
    worker.answers_after = lambda: time.monotonic() > begun + 0.1
    session.ask({"ask": ask}, doing="being timed")
    assert time.monotonic() > begun + 0.1
    assert passing.looks == 0


def test_a_process_that_cannot_be_stopped_for_new_ones_is_void(session):
    def stop_all():
        raise StillStarting("3 new processes at each of 20 looks")

    session._tree = SimpleNamespace(stop_all=stop_all, close=lambda: None)
    with pytest.raises(CandidateFailed) as failure:
        session.freeze()
    assert failure.value.detail == ("starts processes between requests: 3 new processes at each of 20 looks")
    assert failure.value.flags == ("works_unasked",)


def test_who_computed_unasked_once_gets_other_inputs(session, worker, monkeypatch):
    readings = iter([0.0, 1.0, 1.0, 1.0])
    monkeypatch.setattr(worker, "cpu_seconds", lambda: next(readings))
    seen = []
    monkeypatch.setattr(cpu, "settle", lambda: seen.append(session.slots[0].inputs[0].tensor.clone()))
    drawn = session.refresh(session.slots)
    first, second = seen
    assert not torch.equal(first, second)
    assert torch.equal(second, drawn[0].values()[0])


def test_who_computes_unasked_whatever_the_inputs_is_void(session, worker, monkeypatch):
    ticks = count(step=1.0)
    monkeypatch.setattr(worker, "cpu_seconds", lambda: next(ticks))
    with pytest.raises(CandidateFailed) as failure:
        session.refresh(session.slots)
    assert failure.value.detail == "computed for 1000 ms between requests"
    assert (failure.value.outcome, failure.value.flags) == (Outcome.VOID, ("works_unasked",))
