"""The judge's handles on what the service forks for it: a worker, and the service itself."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
from dataclasses import dataclass

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import devices, messages, sandbox

START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """The judge's end of a worker: its socket, the pipe on which its end is told, and its warden."""

    connection: socket.socket
    ending: int
    warden: int

    def cpu_seconds(self) -> float:
        """CPU time used so far by the worker and all it started."""
        return sum(sandbox.cpu_seconds_of(process) for process in sandbox.descendants(self.warden)[1:])

    def spent_seconds(self) -> float:
        """CPU time used so far by all under the warden and itself, children that have ended included."""
        return sum(sandbox.spent_seconds_of(each) for each in (self.warden, *sandbox.descendants(self.warden)))

    def kill(self, *, timeout_s: float = 10.0) -> None:
        """End the worker and all it started; returns when its socket is closed everywhere.

        Raises HarnessError when that cannot be done: its processes would disturb the next candidate.
        """
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.warden, signal.SIGTERM)
        self.connection.settimeout(timeout_s)
        try:
            while self.connection.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            raise HarnessError(
                f"processes of a candidate, under warden {self.warden}, do not end; end them and run again to resume"
            ) from None
        self.close()

    def close(self) -> None:
        self.connection.close()
        os.close(self.ending)

    def wait(self, *, timeout_s: float) -> int | None:
        """Exit code of a worker whose socket has ended, negative for a signal; None if it is not told in time."""
        ready, _, _ = select.select([self.ending], [], [], timeout_s)
        told = os.read(self.ending, 16) if ready else b""
        return int(told) if told else None


class WorkerServer:
    """The judge's handle on the service: asks it to fork, from any thread.

    At most one worker is called up before anybody needs it: on a GPU it starts CUDA for 0.3 s, in which nobody may be
    timed.
    """

    def __init__(self, control: socket.socket, device: str) -> None:
        self._control = control
        self._device = device
        self._turn = threading.Lock()
        self._next: WorkerProcess | None = None
        self._has_started = False
        self._complaint = ""

    def call_up(self) -> None:
        """Have a worker start, beside what the judge does."""
        if self._next is None:
            self._next, self._has_started = self.fork(), False
            messages.send(self._next.connection, {"ask": "start", "threads": devices.threads()})

    def settle(self) -> None:
        """Wait until the worker that was called up has started; one that cannot, or has ended since, is given up."""
        if self._next is None or (self._has_started and not select.select([self._next.connection], [], [], 0)[0]):
            return
        try:
            answer, _ = messages.receive(self._next.connection, timeout_s=START_TIMEOUT_S)
            self._complaint = answer.get("raised", "")
        except messages.ConnectionEnded:
            self._complaint = "its process ended"
        except messages.DeadlinePassed:
            self._complaint = f"no word within {START_TIMEOUT_S:.0f} s"
        self._has_started = not self._complaint
        if self._complaint:
            self._next.kill()
            self._next = None

    def take(self) -> WorkerProcess:
        """A worker that has started. Raises HarnessError where none can."""
        for _ in range(2):
            self.call_up()
            self.settle()
            if self._next is not None:
                break
        worker, self._next = self._next, None
        if worker is None:
            raise HarnessError(f"a worker does not start ({self._complaint}); check that the device has memory left")
        return worker

    def fork(self, *, builder: bool = False) -> WorkerProcess:
        """A new worker, waiting for its first message; a ``builder`` sees no GPU."""
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        with self._turn:
            device = "cpu" if builder else self._device
            what = {"device": device, "gpu": devices.gpu_file(device)}
            messages.send(self._control, what, [theirs.fileno(), writing])
            theirs.close()
            os.close(writing)
            answer, _ = messages.receive(self._control, timeout_s=60)
        return WorkerProcess(ours, reading, int(answer["warden"]))
