"""A session with a worker that answers whatever it is asked."""

import socket
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from hostile_answers import HONEST
from made_up_tasks import task
from made_up_worker import MadeUpWorker

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.handles.racks import Rack
from pytest_kernelbench.evaluation.handles.session import WorkerSession

MADE_UP = task("1_relu", "def forward(self, x):\n    return torch.relu(x)", inputs="torch.rand(n)", n=1000)


class Worker(MadeUpWorker):
    """Answers whatever it is asked, and keeps the questions and what its inputs were then."""

    def __init__(self):
        self.asked = []
        self.session = None
        self.answers_after = lambda: True
        super().__init__()

    def answer(self, question, descriptors):
        slots = self.session.slots if self.session and not descriptors else []
        self.asked.append((question["ask"], [slot.inputs[0].tensor.clone() for slot in slots]))
        if question["ask"] == "run":
            answer_rightly(self.session, [self.session.slots[question["slot"]]])
        while not self.answers_after():
            time.sleep(0.001)
        messages.send(self._own, HONEST[question["ask"]])


def answer_rightly(session, slots):
    for slot in slots:
        slot.outputs[0].tensor.copy_(torch.relu(slot.inputs[0].tensor))


@contextmanager
def session_of(worker):
    """A session that has prepared, with two slots; what was asked until then is forgotten."""
    bench = Bench(MADE_UP.id, MADE_UP.source, seed=0, device="cpu")
    owner, judge = socket.socketpair()
    with owner, judge:
        session = WorkerSession(worker, bench, Rack(bench), cache=Path("builds"), watch=judge)
        session.wait_until_ready()
        worker.session = session
        session.have_slots(2)
        worker.asked.clear()
        yield session
        session.close()
        session.rack.close()
