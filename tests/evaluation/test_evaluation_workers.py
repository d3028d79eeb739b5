"""Workers that are started before they are needed, over sockets without processes."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import sandbox
from pytest_kernelbench.evaluation.boundary import answers, messages
from pytest_kernelbench.evaluation.device.cpu import threads
from pytest_kernelbench.evaluation.device.traits import DEVICES
from pytest_kernelbench.evaluation.handles.workers import WorkerProcess, WorkerServer
from pytest_kernelbench.evaluation.sharing import holds, lock

STARTED = {"started": True}


class Service:
    """Gives the judge socket ends as the real service does; each worker answers its first question with ``answers``."""

    def __init__(self, *answers):
        self.judge, self._ours = socket.socketpair()
        self._answers = iter(answers)
        self.workers = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with ThreadPoolExecutor() as pool:
            while True:
                try:
                    _, (connection, ending) = messages.receive(self._ours)
                except messages.ConnectionEnded:
                    return
                messages.send(self._ours, {"supervisor": os.getpid()})
                os.close(ending)
                self.workers.append(socket.socket(fileno=connection))
                question, _ = messages.receive(self.workers[-1])
                assert question == {"ask": "start", "threads": threads()}
                pool.submit(self._answer, self.workers[-1], next(self._answers))

    def _answer(self, worker, answer):
        if isinstance(answer, tuple):
            # Once an event is set.
            answer[0].wait(20)
            answer = answer[1]
        if answer is not None:
            messages.send(worker, answer)
        if answer != STARTED:
            worker.close()

    def close(self):
        self.judge.close()
        self._thread.join()
        self._ours.close()
        for worker in self.workers:
            worker.close()


@pytest.fixture
def served(monkeypatch):
    # The supervisor that would be ended is this process.
    monkeypatch.setattr(os, "kill", lambda process, number: None)
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], spare_workers=1))
    made = []

    def serve(*answers):
        service = Service(*answers)
        made.append((service, WorkerServer(service.judge, "cpu")))
        return made[-1]

    yield serve
    for service, workers in made:
        starters = list(workers._starters)
        service.close()
        for starter in starters:
            starter.join(20)
            assert not starter.is_alive()
        for worker in workers._reserve:
            worker.close()


def call_up(workers, service, count):
    """A check that lasts until the service has been asked for ``count`` workers in all."""
    workers.call_up()
    until(lambda: len(service.workers) >= count)
    until_reserved(workers, count)
    workers.rest()


def until_reserved(workers, count):
    until(lambda: len(workers._reserve) >= count or not workers._starters)


def test_a_worker_that_was_called_up_is_the_one_that_is_taken(served):
    service, workers = served(STARTED, STARTED)
    call_up(workers, service, 1)
    workers.take().close()
    assert len(service.workers) == 1
    workers.take().close()
    assert len(service.workers) == 2


def test_a_check_that_takes_long_fills_the_reserve(served, monkeypatch):
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], spare_workers=3))
    service, workers = served(*[STARTED] * 3)
    call_up(workers, service, 3)
    for _ in range(3):
        workers.take().close()
    assert len(service.workers) == 3


def test_where_the_device_gains_by_it_some_start_at_the_same_time(served, monkeypatch):
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], spare_workers=3, workers_at_once=2))
    slow = threading.Event()
    service, workers = served((slow, STARTED), (slow, STARTED), STARTED)
    workers.call_up()
    until(lambda: len(workers._starting) == 2)
    slow.set()
    until_reserved(workers, 3)
    for _ in range(3):
        workers.take().close()
    workers.rest()
    # One that was begun when the first was taken ends with its service.
    assert len(service.workers) >= 3


@pytest.fixture
def shared_starts(served, monkeypatch, tmp_path):
    """Two judges on one device, with places for three starts."""
    monkeypatch.setattr(lock, "folder_for_all", lambda: tmp_path)
    changes = {"spare_workers": 3, "workers_at_once": 2, "starts_at_once": 3}
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], **changes))

    def serve(*answers):
        service, workers = served(*answers)
        workers.share_starts("made-up")
        return service, workers

    return serve


def test_the_judges_of_a_device_share_the_places_in_which_workers_start(shared_starts):
    slow = threading.Event()
    first, own = shared_starts(*[(slow, STARTED)] * 3)
    second, other = shared_starts(*[(slow, STARTED)] * 3)
    own.call_up()
    until(lambda: len(own._starting) == 2)
    other.call_up()
    until(lambda: other._starting)
    time.sleep(0.1)
    assert (len(first.workers), len(second.workers)) == (2, 1)
    slow.set()
    until(lambda: len(own._reserve) == len(other._reserve) == 3)
    own.rest()
    other.rest()


def test_a_worker_that_is_not_needed_at_once_has_one_of_the_places(shared_starts):
    place = lock.free_place("start-made-up", 1)
    service, workers = shared_starts(*[STARTED] * 3)
    workers.call_up()
    until(lambda: len(workers._reserve) == 2)
    time.sleep(0.1)
    # Two more places are free.
    assert len(service.workers) == 2
    os.close(place)
    until_reserved(workers, 3)


def test_only_a_trial_that_has_the_device_alone_waits_for_no_place(shared_starts):
    places = [lock.free_place("start-made-up", 3) for _ in range(3)]
    assert None not in places and lock.free_place("start-made-up", 3) is None
    _, alone = shared_starts(*[STARTED] * 3)
    alone.take().close()
    service, beside = shared_starts(*[STARTED] * 3)
    taken = []

    def take():
        with holds.beside_others("made-up"):
            taken.append(beside.take())

    taking = threading.Thread(target=take)
    taking.start()
    time.sleep(0.2)
    assert not service.workers
    for place in places:
        os.close(place)
    taking.join(20)
    taken[0].close()


class Stopped:
    """Notes whether the processes of a worker are stopped."""

    def __init__(self):
        self.is_stopped = False
        self.was_stopped = threading.Event()

    def stop_all(self):
        self.is_stopped = True
        self.was_stopped.set()

    def go_on(self):
        self.is_stopped = False

    def close(self):
        pass


def test_a_worker_that_has_not_started_by_then_is_stopped_until_one_is_needed(served, monkeypatch):
    freezer, slow, limits = Stopped(), threading.Event(), [60.0]
    monkeypatch.setattr(WorkerProcess, "freezer", lambda self: freezer)
    receive = answers.receive

    def with_a_limit_that_passes_once(connection, ask, timeout_s):
        if ask == "start" and limits:
            limits.pop()
            assert freezer.was_stopped.wait(20)
            raise messages.DeadlinePassed
        return receive(connection, ask, timeout_s=timeout_s)

    monkeypatch.setattr(answers, "receive", with_a_limit_that_passes_once)
    service, workers = served((slow, STARTED))
    workers.call_up()
    until(lambda: workers._starting)
    workers.rest()
    assert freezer.is_stopped
    # That it was stopped for so long is no failure to start.
    until(lambda: not limits)
    with workers.at_rest():
        assert freezer.is_stopped
    assert freezer.is_stopped
    taken = []
    taking = threading.Thread(target=lambda: taken.append(workers.take()))
    taking.start()
    until(lambda: not freezer.is_stopped)
    slow.set()
    taking.join(20)
    taken[0].close()
    assert len(service.workers) == 1


def test_workers_that_were_to_start_do_so_after_a_rest(served, monkeypatch):
    freezer, slow = Stopped(), threading.Event()
    monkeypatch.setattr(WorkerProcess, "freezer", lambda self: freezer)
    _, workers = served((slow, STARTED))
    workers.call_up()
    until(lambda: workers._starting)
    with workers.at_rest():
        assert freezer.is_stopped
        slow.set()
    until_reserved(workers, 1)
    assert not freezer.is_stopped
    workers.take().close()


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_one_that_did_not_start_beside_a_candidate_is_replaced(served):
    service, workers = served({"raised": "OutOfMemoryError: no room"}, STARTED)
    call_up(workers, service, 1)
    workers.take().close()
    assert len(service.workers) == 2


def test_one_that_ended_while_it_waited_is_replaced(served):
    service, workers = served(STARTED, STARTED)
    call_up(workers, service, 1)
    service.workers[0].close()
    workers.take().close()
    assert len(service.workers) == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [({"raised": "RuntimeError: no driver"}, "RuntimeError: no driver"), (None, "its process ended")],
)
def test_where_none_starts_the_harness_says_so(served, answer, said):
    _, workers = served(answer, answer)
    with pytest.raises(HarnessError) as error:
        workers.take()
    assert str(error.value) == f"a worker does not start ({said}); check that the device has memory left"


@pytest.mark.parametrize("held", [True, False])
def test_a_worker_begins_to_end_before_it_is_waited_for(held):
    child = subprocess.Popen(["sleep", "60"])
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    os.close(writing)
    worker = WorkerProcess(ours, reading, child.pid, os.pidfd_open(child.pid) if held else None)
    worker.end()
    if held:
        assert child.wait(20) == -signal.SIGTERM
    else:
        assert child.poll() is None
    theirs.close()
    worker.kill()
    assert child.wait(20) == -signal.SIGTERM


def test_all_threads_of_a_worker_are_kept_to_the_cores_that_are_given():
    code = (
        "import threading, time\n"
        "threads = [threading.Thread(target=time.sleep, args=(60,), daemon=True) for _ in range(3)]\n"
        "[each.start() for each in threads]\n"
        "print(flush=True)\n"
        "time.sleep(60)\n"
    )
    start = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}])"
    ours, theirs = socket.socketpair()
    with subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE) as supervisor:
        supervisor.stdout.readline()
        worker = WorkerProcess(ours, -1, supervisor.pid)
        core = min(os.sched_getaffinity(0))
        worker.keep_to({core})
        (below,) = sandbox.descendants(supervisor.pid)
        threads_of_worker = os.listdir(f"/proc/{below}/task")
        assert len(threads_of_worker) == 4
        assert all(os.sched_getaffinity(int(each)) == {core} for each in threads_of_worker)
        os.kill(below, signal.SIGKILL)
    # Of processes that have ended nothing is asked.
    worker.keep_to({core})
    for each in (ours, theirs):
        each.close()
