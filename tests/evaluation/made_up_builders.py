"""Builders in this process: one that answers as it is told, and one that compiles."""

import os
import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.worker import loop


def libraries_in(cache):
    return [path for path in cache.iterdir() if path.is_file()]


class Builder:
    """A builder that gives its answers one after the other, each with its files, and ends."""

    def __init__(self, *answers):
        self.connection, self._theirs = socket.socketpair()
        self._answers = answers
        self.questions = []
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self):
        with self._theirs, suppress(messages.ConnectionEnded):
            for answer, *contents in self._answers:
                self.questions.append(messages.receive(self._theirs)[0])
                with tempfile.TemporaryFile() as file:
                    for content in contents:
                        file.write(content)
                        file.flush()
                    messages.send(self._theirs, answer, [file.fileno()] * len(contents))

    def kill(self):
        self._thread.join()
        self.connection.close()


class Compiler:
    """A builder that compiles what it is asked for, in this process, in a folder of the cache."""

    def __init__(self, cache):
        self.connection, self._theirs = socket.socketpair()
        self._folder = Path(tempfile.mkdtemp(prefix="scratch-", dir=cache))
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def _answer(self):
        with self._theirs, suppress(messages.ConnectionEnded):
            question, _ = messages.receive(self._theirs)
            try:
                answer = loop._Bench("cpu", self._folder, self._theirs).compile(question, [])
            except Exception as error:
                answer = {"raised": str(error), "kind": type(error).__name__}
            files = [os.open(path, os.O_RDONLY) for path in answer.pop("files", ())]
            messages.send(self._theirs, answer, files)
            for file in files:
                os.close(file)

    def kill(self):
        self._thread.join()
        self.connection.close()
        shutil.rmtree(self._folder)
