"""The judge's handle on one worker: its socket, its end, and what it and all that it started use."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import sandbox
from pytest_kernelbench.evaluation.boundary import messages
from pytest_kernelbench.evaluation.clock.freezing import Freezer, ProcessTree
from pytest_kernelbench.evaluation.sandbox.groups import Group


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """The judge's end of a worker: its socket, the pipe that receives its exit status, and its supervisor.

    ``hold`` is a descriptor of the supervisor's process (pidfd), None if the kernel has none. It is needed because the
    number of an ended process may be given to another one. ``group``: the control group of the worker and all that it
    starts; None where the system has none for it.
    """

    connection: socket.socket
    ending: int
    supervisor: int
    hold: int | None = None
    group: Group | None = None

    def freezer(self) -> Freezer:
        """An object that stops the worker with all that it started."""
        return ProcessTree(self.supervisor) if self.group is None else self.group

    @property
    def process(self) -> int:
        """Number of the worker's own process; 0 where it has ended."""
        # Below the supervisor is the first process of a namespace, or a process in its place, and below it the worker.
        below = sandbox.descendants(self.supervisor)
        return below[1] if len(below) > 1 else 0

    @property
    def has_ended(self) -> bool:
        """Whether a worker that was asked for nothing has ended: there is something to read from it."""
        return messages.is_readable(self.connection)

    def cpu_seconds(self) -> float:
        """CPU time used so far by the worker and all it started."""
        if self.group is not None:
            return self.group.spent_seconds()
        return sum(sandbox.cpu_seconds_of(process) for process in sandbox.descendants(self.supervisor)[1:])

    def spent_seconds(self) -> float:
        """CPU time used so far by all under the supervisor and itself, children that have ended included."""
        if self.group is not None:
            return self.group.spent_seconds()
        return sum(sandbox.spent_seconds_of(each) for each in (self.supervisor, *sandbox.descendants(self.supervisor)))

    def keep_to(self, cores: set[int]) -> None:
        """Have the worker, and all that it started, run on these cores; it is stopped, so that nothing new starts.

        Does nothing where the supervisor has ended: its number may be another process's by then.
        """
        if self.hold is not None and messages.is_readable(self.hold):
            return
        for process in sandbox.descendants(self.supervisor):
            with suppress(OSError):
                for thread in os.listdir(f"/proc/{process}/task"):
                    with suppress(OSError):
                        os.sched_setaffinity(int(thread), cores)

    def end(self) -> None:
        """Begin to end the worker with all it started; ``kill`` waits for its end.

        Does nothing without a ``hold``: the supervisor's number might be another process's by then.
        """
        if self.hold is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.hold, signal.SIGTERM)

    def kill(self, *, timeout_s: float = 10.0) -> None:
        """End the worker and all it started; returns when its socket is closed everywhere.

        Raises HarnessError when that cannot be done: its processes would disturb the next candidate.
        """
        self.end()
        if self.hold is None:
            with suppress(ProcessLookupError):
                os.kill(self.supervisor, signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        try:
            # One deadline for everything that it still sends: a process may flood its socket.
            while (left_s := deadline - time.monotonic()) > 0:
                if messages.is_readable(self.connection, timeout_s=left_s) and not self.connection.recv(1 << 16):
                    break
            else:
                raise HarnessError(
                    f"processes of a candidate, under supervisor {self.supervisor}, do not end; "
                    "end them and run again to resume"
                )
        except ConnectionResetError:
            pass
        self.close()

    def close(self) -> None:
        self.connection.close()
        if self.group is not None:
            self.group.remove()
        os.close(self.ending)
        if self.hold is not None:
            os.close(self.hold)

    def wait(self, *, timeout_s: float) -> int | None:
        """Exit code of a worker whose socket has ended, negative for a signal; None if it does not arrive in time.

        Raises HarnessError if it was ended because other programs had taken the memory.
        """
        told = os.read(self.ending, 32) if messages.is_readable(self.ending, timeout_s=timeout_s) else b""
        code, _, why = told.decode().partition(" ")
        if why:
            raise HarnessError(
                "this machine's memory ran short while a candidate was judged that held little of it; "
                "end what else runs and run again to resume"
            )
        return int(code) if code else None
