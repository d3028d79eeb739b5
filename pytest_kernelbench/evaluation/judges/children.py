"""The processes that this process has forked: each is collected (waited for) when it ends, and can be ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from pytest_kernelbench.evaluation import sandbox

# A supervisor ends all processes of its candidate first. A process that does not end by then is killed.
END_TIMEOUT_S = 10.0


class Children:
    """Forks processes, and knows which have not ended. A process may have one such object: it handles ``SIGCHLD``."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        # Wait status of each child that was forked to be remembered, None while it runs; until ``exit_code``.
        self._remembered: dict[int, int | None] = {}
        signal.signal(signal.SIGCHLD, lambda *_: self._collect())

    @contextmanager
    def kept(self) -> Iterator[None]:
        """A context in which no child is collected: the number of an ended one is not given to another process."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def fork(self, *, remembered: bool = False) -> int:
        """As ``sandbox.fork_bound``; the child collects nothing. ``remembered``: ``exit_code`` will be asked for."""
        with self.kept():
            child = sandbox.fork_bound()
            if child != 0:
                self._running.add(child)
                if remembered:
                    self._remembered[child] = None
                return child
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        return 0

    def end(self, processes: Iterable[int]) -> None:
        """Send SIGTERM to children, and return when they have ended. Numbers of others are passed over."""
        with self.kept():
            left = self._running.intersection(processes)
            for each in left:
                os.kill(each, signal.SIGTERM)
                # A stopped child acts on no signal until it goes on.
                os.kill(each, signal.SIGCONT)
            deadline = time.monotonic() + END_TIMEOUT_S
            while (left := left & self._running) and (left_s := deadline - time.monotonic()) > 0:
                signal.sigtimedwait({signal.SIGCHLD}, left_s)
                self._collect()
            for each in left:
                os.kill(each, signal.SIGKILL)
                self._collected(each, os.waitpid(each, 0)[1])

    def exit_code(self, child: int) -> int | None:
        """How a remembered child ended, as ``subprocess`` has it (-9: by SIGKILL), and forget it; None if unknown."""
        status = self._remembered.pop(child, None)
        return None if status is None else os.waitstatus_to_exitcode(status)

    def _collect(self) -> None:
        # Only children forked here: a library that starts a process waits for it itself.
        for each in list(self._running):
            status = None
            with suppress(ChildProcessError):
                collected, status = os.waitpid(each, os.WNOHANG)
                if collected == 0:
                    continue
            self._collected(each, status)

    def _collected(self, child: int, status: int | None) -> None:
        self._running.discard(child)
        if child in self._remembered:
            self._remembered[child] = status
