"""A hostile answer at any place of a trial ends in one exception only: the candidate's outcome, or the harness's."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest
from hostile_answers import HONEST, REQUEST, hostile_answers
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from made_up_tasks import task
from made_up_worker import MadeUpWorker

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.boundary import answers, messages
from pytest_kernelbench.evaluation.boundary.answers import ANSWERS
from pytest_kernelbench.evaluation.building.builds import BuildWanted
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles import session, turn_requests, worker_requests
from pytest_kernelbench.evaluation.handles.racks import JudgeSlot, Rack
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.evaluation.sharing.giving_way import giving_way
from pytest_kernelbench.records import Outcome

MADE_UP = task("1_relu", "def forward(self, x):\n    return torch.relu(x)", inputs="torch.rand(n)", n=16)


@pytest.fixture(scope="module")
def bench():
    bench = Bench(MADE_UP.id, MADE_UP.source, seed=0, device="cpu")
    bench.measure_tolerances(["task"])
    return bench


@pytest.fixture(scope="module")
def rack(bench):
    rack = Rack(bench)
    rack.first(2)
    yield rack
    rack.close()


class Hostile(MadeUpWorker):
    """A worker that answers honestly but at one place, where it does what ``act`` does with its socket."""

    def __init__(self, place, act):
        self._place, self._act = place, act
        self._asked = 0
        super().__init__()

    def answer(self, question, descriptors):
        self._asked += 1
        if self._asked == self._place + 1:
            self._act(self._own, question["ask"])
        else:
            messages.send(self._own, HONEST[question["ask"]])


PLACES = (
    *(
        "prepare",
        "attach",
        "load",
        "adopt_weights",
        "run",
        "move_parameters",
        "warm",
        "pairs",
        "series",
        "calls",
    ),
    *("profile", "leave_room", "hold", "rehearse"),
)


# How long the judge waits for an answer: at the place that a test is about, and at all others.
SHORT_S, LONG_S = 0.3, 20.0
LIMITS = (
    *((session, f"{name}_TIMEOUT_S") for name in ("READY", "LOAD", "REQUEST", "TIMING")),
    (turn_requests, "REQUEST_TIMEOUT_S"),
    *((worker_requests, name) for name in ("REQUEST_TIMEOUT_S", "TIMING_TIMEOUT_S")),
)


def walk(one, place=None, limit_s=LONG_S):
    """Every question of a trial, in the order of ``PLACES``; the answer at ``place`` is waited for ``limit_s``."""
    slots = []
    questions = (
        lambda: one.wait_until_ready(),
        lambda: slots.extend(one.have_slots(2)),
        lambda: one.load("a candidate"),
        lambda: one.adopt_weights(),
        lambda: one.check(slots[0], 0, "task"),
        lambda: one.move_parameters(away=True),
        lambda: one.warm(*slots, times=1),
        lambda: one.pairs([(*slots, True), (*slots, False)]),
        lambda: one.series(slots, "candidate"),
        lambda: one.calls(slots),
        lambda: one.profile(slots[0]),
        lambda: one.leave_room(),
        lambda: one.hold_outputs(2),
        lambda: one.rehearse(slots),
    )
    for each, question in zip(PLACES, questions, strict=True):
        seconds = limit_s if each == place else LONG_S
        with pytest.MonkeyPatch.context() as patch:
            for module, name in LIMITS:
                patch.setattr(module, name, seconds)
            question()


def tried(bench, rack, place, act, limit_s=LONG_S):
    """What the walk ends in when the worker acts at one place; nothing may be left open."""
    before = len(os.listdir("/proc/self/fd"))
    owner, judge = socket.socketpair()
    with owner, judge:
        worker = Hostile(PLACES.index(place), act)
        one = WorkerSession(worker, bench, rack, cache=Path("builds"), watch=judge)
        try:
            walk(one, place, limit_s)
        except (CandidateFailed, HarnessError) as error:
            return error
        finally:
            one.close()
            assert len(os.listdir("/proc/self/fd")) <= before + 2
    return None


@pytest.fixture(autouse=True)
def right_answers(monkeypatch):
    # Whoever answers here computes nothing.
    monkeypatch.setattr(JudgeSlot, "objection", lambda self, *arguments: None)
    monkeypatch.setattr(WorkerSession, "read", lambda self, places: [])


def test_the_walk_asks_all_that_a_worker_is_asked(bench, rack):
    of_no_candidate = {"start", "forget", "build", "compile", "explore", "pack_compiled", "precompile", "fork"}
    assert {*PLACES, *of_no_candidate} == ANSWERS.keys()
    assert tried(bench, rack, "prepare", lambda own, ask: messages.send(own, HONEST[ask])) is None


def of_the_harness(place):
    return place in ("prepare", "attach")


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=25)
@given(data=st.data())
def test_a_hostile_answer_at_any_place_is_the_candidate_s_outcome(bench, rack, place, data):
    message = data.draw(hostile_answers(place))
    # Whether it builds is no answer: that is still due, and its limit would have to pass.
    assume(set(message) != {"building"})
    error = tried(bench, rack, place, lambda own, ask: messages.send(own, message))
    if error is not None:
        assert isinstance(error, HarnessError) == of_the_harness(place)
        assert str(error).isprintable()
        if isinstance(error, CandidateFailed):
            assert error.outcome in (Outcome.VOID, Outcome.RUNTIME_ERROR, Outcome.BUILD_ERROR, Outcome.INCORRECT)


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=15)
@given(payload=st.binary(max_size=40))
@example(payload=b"\xff" * 8)
@example(payload=b"\0\0\0\2[]")
@example(payload=b'\0\0\0\7{"a":1}')
def test_any_bytes_at_any_place_are_the_candidate_s_outcome(bench, rack, place, payload):
    def act(own, ask):
        own.sendall(payload)
        own.shutdown(socket.SHUT_RDWR)

    error = tried(bench, rack, place, act)
    assert isinstance(error, HarnessError if of_the_harness(place) else CandidateFailed)


@pytest.mark.parametrize("place", PLACES)
def test_a_request_for_a_build_ends_the_trial_without_a_verdict_and_is_none_of_the_harness_s_own(bench, rack, place):
    asks = place in answers.RUNS_THE_CANDIDATE
    try:
        error = tried(bench, rack, place, lambda own, ask: messages.send(own, {"wanted": REQUEST}))
    except BuildWanted as wanted:
        assert asks
        assert wanted.request == REQUEST
    else:
        assert not asks
        assert isinstance(error, HarnessError if of_the_harness(place) else CandidateFailed)


def builds_for(seconds):
    def act(own, ask):
        for _ in range(2):
            messages.send(own, {"building": True})
            time.sleep(seconds / 2)
        messages.send(own, {"building": False})
        messages.send(own, HONEST[ask])

    return act


@pytest.mark.parametrize("place", PLACES)
def test_what_torch_builds_in_an_untimed_call_does_not_count_against_its_limit(bench, rack, place):
    error = tried(bench, rack, place, builds_for(0.8), limit_s=0.6)
    if place in worker_requests.MAY_BUILD:
        assert error is None
    elif place not in answers.RUNS_THE_CANDIDATE:
        assert isinstance(error, HarnessError | CandidateFailed)
        assert "building" in str(error)
    else:
        assert error.outcome is Outcome.TIMEOUT


@pytest.mark.parametrize("place", ["prepare", "load", "adopt_weights", "move_parameters"])
def test_what_makes_a_model_may_take_longer_where_that_took_the_judge_long(bench, rack, place, monkeypatch):
    def is_slow(own, ask):
        time.sleep(0.6)
        messages.send(own, HONEST[ask])

    assert tried(bench, rack, place, is_slow, limit_s=0.3) is not None
    monkeypatch.setattr(bench.reference, "seconds_to_make", 1.0)
    assert tried(bench, rack, place, is_slow, limit_s=0.3) is None


def test_all_that_torch_builds_for_a_candidate_has_one_limit(bench, rack, monkeypatch):
    monkeypatch.setattr(worker_requests, "BUILD_LIMIT_S", 0.3)
    error = tried(bench, rack, "run", builds_for(1.0))
    assert error.outcome is Outcome.TIMEOUT


def test_while_torch_builds_for_a_candidate_others_are_timed_and_that_counts_against_no_limit(bench, rack, monkeypatch):
    monkeypatch.setattr(worker_requests, "BUILD_LIMIT_S", 1.5)
    begins, timed = threading.Event(), threading.Event()
    builds = builds_for(2.2)

    def act(own, ask):
        begins.set()
        builds(own, ask)

    def others_are_timed():
        if begins.is_set() and not timed.is_set():
            timed.set()
            time.sleep(1.9)

    with giving_way(others_are_timed):
        assert tried(bench, rack, "run", act) is None
    assert timed.is_set()
    # Nobody is timed.
    assert tried(bench, rack, "run", builds).outcome is Outcome.TIMEOUT


def test_who_says_without_end_that_he_builds_is_not_listened_to_without_end(bench, rack, monkeypatch):
    monkeypatch.setattr(worker_requests, "BUILD_LIMIT_S", 0.3)

    def act(own, ask):
        while True:
            messages.send(own, {"building": True})
            messages.send(own, {"building": False})

    assert tried(bench, rack, "run", act).outcome is Outcome.TIMEOUT


@pytest.mark.parametrize("place", PLACES)
def test_descriptors_at_any_place_are_closed_and_void(bench, rack, place):
    error = tried(bench, rack, place, lambda own, ask: messages.send(own, HONEST[ask], [0, 1, 2]))
    if of_the_harness(place):
        assert isinstance(error, HarnessError)
    else:
        assert (error.outcome, error.flags) == (Outcome.VOID, ("forged_answer",))
        assert str(error) == "an answer that the harness does not give: unexpected descriptors"


@pytest.mark.parametrize("place", ["load", "run", "pairs"])
def test_answers_in_advance_do_not_hold_up_the_judge(bench, rack, place, monkeypatch):
    monkeypatch.setattr(messages, "SEND_TIMEOUT_S", 0.3)

    def act(own, ask):
        for each in PLACES[PLACES.index(ask) :]:
            messages.send(own, HONEST[each])
        # Reads nothing more until the judge hangs up.
        own.settimeout(5)
        while own.recv(1 << 20):
            pass

    assert tried(bench, rack, place, act) is None


@pytest.mark.parametrize("place", PLACES)
def test_silence_at_any_place_is_a_timeout(bench, rack, place):
    error = tried(bench, rack, place, lambda own, ask: None, limit_s=SHORT_S)
    if of_the_harness(place):
        assert isinstance(error, HarnessError)
    else:
        assert error.outcome is Outcome.TIMEOUT
