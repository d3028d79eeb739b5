"""Workers that are started before they are needed, over sockets without processes."""

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.device.cpu import threads
from pytest_kernelbench.evaluation.device.traits import DEVICES
from pytest_kernelbench.evaluation.handles.worker_process import WorkerProcess
from pytest_kernelbench.evaluation.handles.workers import WorkerServer
from pytest_kernelbench.evaluation.sharing import holds, lock

STARTED = {"started": True}
DEVICE = "made-up"


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
def served(monkeypatch, tmp_path):
    monkeypatch.setattr(lock, "folder_for_all", lambda: tmp_path)
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


def ready(workers, count):
    """Have workers started ahead, and wait until so many have."""
    workers.keep_ready(DEVICE)
    until(lambda: len(workers._reserve) == count)


def take_beside_others(workers):
    with holds.beside_others(DEVICE):
        return workers.take()


def in_thread(call):
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    return thread, found


def test_a_worker_that_started_ahead_is_the_one_that_is_taken_and_another_starts(served):
    service, workers = served(STARTED, STARTED)
    ready(workers, 1)
    take_beside_others(workers).close()
    until(lambda: len(workers._reserve) == 1)
    assert len(service.workers) == 2


def test_the_reserve_is_filled(served, monkeypatch):
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], spare_workers=3))
    service, workers = served(*[STARTED] * 3)
    ready(workers, 3)
    assert len(service.workers) == 3


def test_where_the_device_gains_by_it_some_start_at_the_same_time(served, monkeypatch):
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], spare_workers=3, workers_at_once=2))
    slow = threading.Event()
    service, workers = served((slow, STARTED), (slow, STARTED), STARTED)
    workers.keep_ready(DEVICE)
    until(lambda: len(service.workers) == 2)
    time.sleep(0.1)
    assert len(service.workers) == 2
    slow.set()
    until(lambda: len(workers._reserve) == 3)


@pytest.fixture
def shared_starts(monkeypatch):
    """Places for three starts on the device."""
    changes = {"spare_workers": 3, "workers_at_once": 2, "starts_at_once": 3}
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], **changes))


def test_the_judges_of_a_device_share_the_places_in_which_workers_start(served, shared_starts):
    slow = threading.Event()
    first, own = served(*[(slow, STARTED)] * 3)
    second, other = served(*[(slow, STARTED)] * 3)
    own.keep_ready(DEVICE)
    until(lambda: len(first.workers) == 2)
    other.keep_ready(DEVICE)
    until(lambda: second.workers)
    time.sleep(0.1)
    assert (len(first.workers), len(second.workers)) == (2, 1)
    slow.set()
    until(lambda: len(own._reserve) == len(other._reserve) == 3)


def test_a_worker_that_is_not_needed_at_once_has_one_of_the_places(served, shared_starts):
    place = lock.free_place(f"start-{DEVICE}", 1)
    service, workers = served(*[STARTED] * 3)
    ready(workers, 2)
    time.sleep(0.1)
    # Two more places are free.
    assert len(service.workers) == 2
    os.close(place)
    until(lambda: len(workers._reserve) == 3)


def test_only_a_trial_that_has_the_device_alone_waits_for_no_place(served, shared_starts):
    places = [lock.free_place(f"start-{DEVICE}", 3) for _ in range(3)]
    assert None not in places and lock.free_place(f"start-{DEVICE}", 3) is None
    service, workers = served(*[STARTED] * 5)
    workers.keep_ready(DEVICE)
    with lock.exclusive(DEVICE):
        workers.take().close()
    taking, taken = in_thread(lambda: take_beside_others(workers))
    time.sleep(0.1)
    assert len(service.workers) == 1
    for place in places:
        os.close(place)
    taking.join(20)
    taken[0].close()
    until(lambda: len(workers._reserve) == 3)


class Stopped:
    """Notes whether the processes of a worker are stopped."""

    def __init__(self):
        self.is_stopped = False

    def stop_all(self):
        self.is_stopped = True

    def go_on(self):
        self.is_stopped = False

    def close(self):
        pass


def test_a_worker_that_starts_is_stopped_while_a_process_has_the_device_alone(served, monkeypatch):
    freezer, slow = Stopped(), threading.Event()
    monkeypatch.setattr(WorkerProcess, "freezer", lambda self: freezer)
    monkeypatch.setattr("pytest_kernelbench.evaluation.handles.workers.START_TIMEOUT_S", 1.0)
    service, workers = served((slow, STARTED), STARTED)
    workers.keep_ready(DEVICE)
    until(lambda: service.workers)
    with lock.exclusive(DEVICE):
        assert freezer.is_stopped
        # That it was stopped for so long is no failure to start.
        time.sleep(1.2)
        # This process is the one that has it alone: a worker that it needs does start.
        monkeypatch.setattr(WorkerProcess, "freezer", lambda self: Stopped())
        workers.take().close()
        assert freezer.is_stopped
    until(lambda: not freezer.is_stopped)
    slow.set()
    until(lambda: len(workers._reserve) == 1)


def test_where_the_protocol_says_so_workers_start_while_a_process_has_the_device_alone(served, monkeypatch):
    freezer, slow = Stopped(), threading.Event()
    monkeypatch.setattr(WorkerProcess, "freezer", lambda self: freezer)
    service, workers = served((slow, STARTED), STARTED)
    with lock.exclusive(DEVICE):
        workers.keep_ready(DEVICE, beside_timing=True)
        until(lambda: service.workers)
        taking, taken = in_thread(workers.take)
        time.sleep(0.1)
        # The trial that has it alone waits for the same worker.
        assert (freezer.is_stopped, taken, len(service.workers)) == (False, [], 1)
        slow.set()
        taking.join(20)
        taken[0].close()
        until(lambda: len(workers._reserve) == 1)


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_one_that_did_not_start_beside_a_candidate_is_replaced(served):
    service, workers = served({"raised": "OutOfMemoryError: no room"}, STARTED, STARTED)
    workers.keep_ready(DEVICE)
    until(lambda: service.workers and not workers._starters)
    assert not workers._reserve
    take_beside_others(workers).close()
    until(lambda: len(workers._reserve) == 1)
    assert len(service.workers) == 3


def test_one_that_ended_while_it_waited_is_replaced(served):
    service, workers = served(STARTED, STARTED, STARTED)
    ready(workers, 1)
    service.workers[0].close()
    take_beside_others(workers).close()
    until(lambda: len(workers._reserve) == 1)
    assert len(service.workers) == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [({"raised": "RuntimeError: no driver"}, "RuntimeError: no driver"), (None, "its process ended")],
)
def test_where_none_starts_the_harness_says_so(served, answer, said):
    _, workers = served(answer, answer)
    with pytest.raises(HarnessError) as error:
        workers.take()
    assert str(error.value) == f"a worker does not start ({said}); check that the device has memory left"


def test_a_thread_that_cannot_start_a_worker_is_no_reason_to_start_none_later(served, monkeypatch):
    _, workers = served(STARTED, STARTED)

    def no_process(self):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as full:
        full.setattr(WorkerServer, "fork", no_process)
        with pytest.raises(HarnessError) as error:
            workers.keep_ready(DEVICE)
            take_beside_others(workers)
        until(lambda: not workers._starters)
    assert str(error.value).startswith("a worker does not start ([Errno 24] Too many open files); check")
    take_beside_others(workers).close()
    until(lambda: len(workers._reserve) == 1)


def test_controls_are_kept_until_they_are_asked_for_and_one_that_has_ended_is_none(served):
    service, workers = served(STARTED, STARTED, STARTED)
    ready(workers, 1)
    assert workers.kept_control() is None
    taken = []
    for _ in range(2):
        taken.append(take_beside_others(workers))
        workers.keep_control(taken[-1])
    until(lambda: len(workers._reserve) == 1)
    assert workers.kept_control() is taken[0]
    service.workers[1].close()
    assert workers.kept_control() is None
    # One is ended as any worker is, which returns when its end of the socket is closed.
    workers.keep_control(taken[0])
    service.workers[0].close()
    workers.end_controls()
    assert taken[0].connection.fileno() == -1
