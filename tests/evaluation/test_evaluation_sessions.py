"""The workers of one task's trials, from their start to their end."""

from pathlib import Path

import pytest

from pytest_kernelbench.evaluation.handles.sessions import Sessions


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
