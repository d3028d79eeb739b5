"""When a judge gives back a GPU's memory: where it waits, or where a trial needs all of it, and not in between."""

import socket
import time
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from threading import Thread
from types import SimpleNamespace

import pytest
from made_up_trials import Ended, starting
from made_up_turns import Worker
from waiting_for_locks import until_somebody_waits_to_be_alone

from pytest_kernelbench.evaluation import company, trial
from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.building.builds import Built
from pytest_kernelbench.evaluation.clock.pairs import Pairs
from pytest_kernelbench.evaluation.device import cpu
from pytest_kernelbench.evaluation.device.traits import DEVICES
from pytest_kernelbench.evaluation.judges.judge import next_request
from pytest_kernelbench.evaluation.sharing import holds, lock
from pytest_kernelbench.evaluation.trials import Trials
from pytest_kernelbench.records import Evaluation, Outcome, sha256_of

pytestmark = pytest.mark.usefixtures("own_locks")


@pytest.fixture
def given_back(monkeypatch):
    """Each time that memory was given back: whether for long, and whether another process could share the device."""
    calls = []

    def leave_room(wanted_bytes=None, *, for_long=False):
        calls.append((for_long, lock._is_held("made-up", None)))

    monkeypatch.setattr(cpu, "leave_room", leave_room)
    return calls


def test_before_it_waits_for_builds_and_only_then(trials, monkeypatch, given_back):
    built, later = Future(), Future()
    built.set_result(Built())

    class Builders:
        def ahead(self, task_source, source):
            return later if source == "later" else built

    @contextmanager
    def builders(self):
        yield Builders()

    def evaluate(setting, source, build):
        given_back.append(source)
        return Evaluation(source_sha256=sha256_of(source), outcome=Outcome.CORRECT)

    def leave_room_for_long(device, hardware_id):
        given_back.append("given back")
        later.set_result(Built())

    given_back.clear()
    # On a CPU all builds come first.
    monkeypatch.setattr("pytest_kernelbench.evaluation.trials.is_gpu", lambda device: True)
    monkeypatch.setattr(Trials, "_builders", builders)
    monkeypatch.setattr("pytest_kernelbench.evaluation.trials.trial.evaluate", evaluate)
    monkeypatch.setattr("pytest_kernelbench.evaluation.trials.leave_room_for_long", leave_room_for_long)
    assert len(list(trials[0].evaluations(["later", "built"]))) == 2
    assert given_back == ["built", "given back", "later"]


@pytest.mark.parametrize(("sent_first", "rests"), [(True, 0), (False, 1)])
def test_where_no_request_comes_within_a_moment(sent_first, rests):
    owner, judge = socket.socketpair()
    rested = []

    def ask():
        messages.send(owner, {"n_sources": 2})
        for source in ("one", "two"):
            messages.send(owner, {"source": source})

    def rest():
        rested.append(True)
        ask()

    with owner, judge:
        if sent_first:
            ask()
        assert next_request(judge, rest) == ({"n_sources": 2}, ["one", "two"])
    assert len(rested) == rests


@pytest.mark.parametrize(("beside_others", "expected"), [(True, [(True, True)]), (False, [])])
def test_nobody_is_timed_meanwhile(monkeypatch, given_back, beside_others, expected):
    traits = SimpleNamespace(trials_beside_others=beside_others, module=DEVICES["cpu"].module)
    monkeypatch.setattr(company, "traits_of", lambda device: traits)
    company.leave_room_for_long("cpu", "made-up")
    assert given_back == expected


def test_at_the_end_of_a_trial_most_of_it_only_where_another_waits_for_the_whole_device(trials, tmp_path, given_back):
    setting = starting(Ended, trials[0]._setting)
    given_back.clear()

    def judge():
        trial.evaluate(setting, "class ModelNew: pass", Built())
        return any(for_long for for_long, _ in given_back)

    assert judge() is False
    with holds.beside_others("made-up") as held:
        Thread(target=lambda: holds.alone("made-up").__enter__(), daemon=True).start()
        until_somebody_waits_to_be_alone("made-up-candidates", tmp_path)
        assert holds.is_wanted_as_a_whole("made-up")
        setting.leave_room_for_other_judges(Ended())
        assert given_back[-1][0] is True
        assert not held.is_alone


@pytest.mark.parametrize(("free_bytes", "asked"), [(249, ["leave room"]), (250, [])])
def test_a_control_keeps_its_memory_where_enough_is_free(monkeypatch, free_bytes, asked):
    did = []

    class Control(Worker):
        def leave_room(self):
            did.append("leave room")

    monkeypatch.setattr(cpu, "memory_bytes", lambda: 1000)
    monkeypatch.setattr(cpu, "free_bytes", lambda: free_bytes)
    pairs = Pairs(SimpleNamespace(), Control)
    with pairs.two(0, Worker, 0.01):
        assert did == []
    assert did == asked


def test_by_a_judge_that_begins_a_trial_while_another_waits_for_the_whole_device(trials, tmp_path, monkeypatch):
    did = []
    setting = replace(trials[0]._setting, beside_others=True)
    monkeypatch.setattr(company, "leave_room_for_long", lambda device, hardware_id: did.append("given back"))
    company.in_turn(setting, lambda hold: did.append("trial"))
    assert did == ["trial"]
    with holds.beside_others("made-up"):
        Thread(target=lambda: holds.alone("made-up").__enter__(), daemon=True).start()
        until_somebody_waits_to_be_alone("made-up-candidates", tmp_path)
        Thread(target=lambda: company.in_turn(setting, lambda hold: did.append("trial")), daemon=True).start()
        deadline = time.monotonic() + 20
        while len(did) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert did[:2] == ["trial", "given back"]
