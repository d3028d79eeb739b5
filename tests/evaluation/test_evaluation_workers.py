"""Workers that are started before they are needed, over sockets without processes."""

import os
import signal
import socket
import subprocess
import threading
import time
from dataclasses import replace

import pytest

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import messages
from pytest_kernelbench.evaluation import workers as workers_module
from pytest_kernelbench.evaluation.device.cpu import threads
from pytest_kernelbench.evaluation.device.traits import DEVICES
from pytest_kernelbench.evaluation.workers import WorkerProcess, WorkerServer

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
            answer = next(self._answers)
            if answer is not None:
                messages.send(self.workers[-1], answer)
            if answer != STARTED:
                self.workers[-1].close()

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
    made = []

    def serve(*answers):
        made.append(Service(*answers))
        return made[-1], WorkerServer(made[-1].judge, "cpu")

    yield serve
    for service in made:
        service.close()


def call_up(workers, service, count):
    """A check that lasts until the service has been asked for ``count`` workers in all."""
    workers.call_up()
    deadline = time.monotonic() + 10
    while len(service.workers) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    workers.settle()


def test_a_worker_that_was_called_up_is_the_one_that_is_taken(served):
    service, workers = served(STARTED, STARTED)
    call_up(workers, service, 1)
    workers.take().close()
    assert len(service.workers) == 1
    workers.take().close()
    assert len(service.workers) == 2


def test_a_check_that_takes_long_fills_the_reserve(served, monkeypatch):
    monkeypatch.setattr(workers_module, "PATIENCE_S", 0.001)
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], spare_workers=3))
    service, workers = served(*[STARTED] * 3)
    call_up(workers, service, 3)
    workers.call_up()
    time.sleep(0.05)
    workers.settle()
    for _ in range(3):
        workers.take().close()
    assert len(service.workers) == 3


def test_a_short_check_does_not_wait_for_a_worker_while_there_is_one(served):
    service, workers = served(STARTED)
    call_up(workers, service, 1)
    workers.call_up()
    workers.settle()
    workers.take().close()
    assert len(service.workers) == 1


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
