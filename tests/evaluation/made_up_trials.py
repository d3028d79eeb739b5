"""Trials of a task, and the workers that they are given in place of real ones."""

import socket
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from made_up_tasks import task

from pytest_kernelbench.evaluation.device.cpu import NoClocks
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.sessions import Sessions
from pytest_kernelbench.evaluation.trials import Known, Trials
from pytest_kernelbench.records import Outcome

MADE = task("9_batch", "def forward(self, x):\n    return torch.relu(x)", inputs="torch.rand(30, n)", n=500)
NO_MEMORY = CandidateFailed(Outcome.RUNTIME_ERROR, "OutOfMemoryError: CUDA out of memory. Tried to allocate 4.00 GiB.")


class Workers:
    """None is needed: no candidate is tried."""

    def keep_ready(self, hardware_id, *, beside_timing):
        pass

    def end_controls(self):
        pass


def starting(make, setting, **changes):
    """The setting with another way to start workers."""
    sessions = Sessions(Workers(), "cpu", cache=Path("builds"), watch=None)
    sessions.start = lambda bench, rack: make()
    return replace(setting, sessions=sessions, **changes)


@contextmanager
def made_up_trials():
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


class Ended:
    """A worker that ends before it is ready."""

    def wait_until_ready(self):
        raise CandidateFailed(Outcome.RUNTIME_ERROR, "the process ended")

    def close(self):
        pass

    end = close


class Idle(Ended):
    """A worker that is asked for nothing."""

    built_s = 0.0
