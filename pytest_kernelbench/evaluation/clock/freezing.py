"""Stops a worker with everything that it started, and lets it go on.

``ProcessTree`` is for systems that give a worker no control group, which the kernel stops as a whole (``groups``).
A stopped process uses no CPU. What it has queued on a GPU still runs there: see ``Device.wait_until_idle``. Signals
go through file descriptors of processes, so a number that the kernel has given to another process in the meantime is
never signalled.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Protocol

from pytest_kernelbench.evaluation.sandbox import descendants

# A process that is found is stopped and starts no other, so each look at the tree finds fewer new ones.
MOST_LOOKS = 20


class StillStarting(Exception):
    """New processes are found at every look."""


class DeviceBusy(Exception):
    """Something runs on a GPU although every process that may use it is stopped."""


class Freezer(Protocol):
    """Stops processes, and lets them go on."""

    def stop(self) -> None:
        """Stop the processes that are known; takes some microseconds, and is followed by ``stop_all``."""

    def stop_all(self) -> bool:
        """Stop every process; returns whether all stand: one in a driver's call does when that returns.

        Raises StillStarting.
        """

    def go_on(self) -> None:
        """Let all of them run."""

    def close(self) -> None:
        """Let go of what this process holds."""


class ProcessTree:
    """All processes below a supervisor, which is trusted, is never stopped, and ends the others at any time."""

    def __init__(self, supervisor: int) -> None:
        self._supervisor = supervisor
        self._handles: dict[int, int] = {}

    def stop(self) -> None:
        """Stop the processes that are known; takes some microseconds, and is followed by ``stop_all``."""
        for handle in self._handles.values():
            _signal(handle, signal.SIGSTOP)

    def stop_all(self) -> bool:
        """Stop every process, also processes that no earlier look has found; returns True. Raises StillStarting."""
        self.stop()
        for _ in range(MOST_LOOKS):
            found = descendants(self._supervisor)
            self._forget(set(self._handles) - set(found))
            new = [process for process in found if process not in self._handles]
            if not new:
                return True
            for process in new:
                with suppress(ProcessLookupError):
                    self._handles[process] = os.pidfd_open(process)
            # Between the look and the opening, the kernel may have given a number to an unrelated process.
            self._forget(set(new) - set(descendants(self._supervisor)))
            self.stop()
        raise StillStarting(f"{len(new)} new processes at each of {MOST_LOOKS} looks")

    def go_on(self) -> None:
        """Let all of them run."""
        for handle in self._handles.values():
            _signal(handle, signal.SIGCONT)

    def close(self) -> None:
        """Let go of the handles."""
        self._forget(set(self._handles))

    def _forget(self, processes: set[int]) -> None:
        for process in processes & set(self._handles):
            os.close(self._handles.pop(process))


def _signal(handle: int, number: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)
