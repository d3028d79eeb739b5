"""A worker that is a thread of this process and computes nothing."""

import os
import socket
import threading

from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.clock.freezing import ProcessTree


class MadeUpWorker:
    """Has ``answer`` called with each question and its descriptors, which are closed, until the judge hangs up."""

    def __init__(self):
        self.connection, self._own = socket.socketpair()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        with self._own:
            while True:
                try:
                    question, descriptors = messages.receive(self._own)
                    for descriptor in descriptors:
                        os.close(descriptor)
                    self.answer(question, descriptors)
                except messages.ConnectionEnded:
                    return

    def freezer(self):
        return ProcessTree(0)  # no process has this number

    def cpu_seconds(self):
        return 0.0

    def spent_seconds(self):
        return 0.0

    def wait(self, *, timeout_s):
        return -9

    def kill(self):
        self.connection.close()
        self._thread.join()
