"""The process that builds ahead: requests that are made twice are built once."""

import socket
import threading

from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.building import foreman


class Crew:
    """Builds nothing, and notes what it was asked for."""

    def __init__(self):
        self.asked = []

    def ahead(self, task_source, source):
        self.asked.append(source)


def test_a_wish_is_begun_once_while_it_is_among_the_last_ones(monkeypatch):
    crew = Crew()
    monkeypatch.setattr(foreman, "MOST_KNOWN", 2)
    monkeypatch.setattr(foreman, "_crew", lambda wish, workers, jobs: crew)
    ours, theirs = socket.socketpair()
    serving = threading.Thread(target=foreman.serve, args=(theirs, None))
    serving.start()
    for source in "aabbacda":
        messages.send(ours, {"cache": "here", "task_source": "x", "source": source})
    ours.close()
    serving.join(timeout=10)
    theirs.close()
    assert crew.asked == list("abcda")
