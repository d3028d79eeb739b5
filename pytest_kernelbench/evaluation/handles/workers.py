"""The judge's handles on the workers that the service forks for it, and on the service itself."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import sandbox
from pytest_kernelbench.evaluation.boundary import answers, messages
from pytest_kernelbench.evaluation.clock.freezing import Freezer, ProcessTree, StillStarting
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.sandbox.groups import Group
from pytest_kernelbench.evaluation.sharing import holds, lock
from pytest_kernelbench.evaluation.sharing.giving_way import give_way

START_TIMEOUT_S = 60.0
BETWEEN_LOOKS_S = 0.02


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
        """Have the worker, and all that it started, run on these cores; it is stopped, so that nothing new starts."""
        for process in sandbox.descendants(self.supervisor):
            with contextlib.suppress(OSError):
                for thread in os.listdir(f"/proc/{process}/task"):
                    with contextlib.suppress(OSError):
                        os.sched_setaffinity(int(thread), cores)

    def end(self) -> None:
        """Begin to end the worker with all it started; ``kill`` waits for its end.

        Does nothing without a ``hold``: the supervisor's number might be another process's by then.
        """
        if self.hold is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.hold, signal.SIGTERM)

    def kill(self, *, timeout_s: float = 10.0) -> None:
        """End the worker and all it started; returns when its socket is closed everywhere.

        Raises HarnessError when that cannot be done: its processes would disturb the next candidate.
        """
        self.end()
        if self.hold is None:
            with contextlib.suppress(ProcessLookupError):
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


class _Start:
    """A worker that is starting, which takes about a second on a GPU; it can be stopped meanwhile."""

    def __init__(self, worker: WorkerProcess, place: ExitStack) -> None:
        self.worker = worker
        self.was_stopped = False
        self._place = place
        self._freezer = worker.freezer()

    def stop(self) -> None:
        """Stop the worker until ``go_on``."""
        self.was_stopped = True
        # No candidate is in it yet, so nothing keeps starting new processes on purpose.
        with contextlib.suppress(StillStarting):
            self._freezer.stop_all()

    def go_on(self) -> None:
        self._freezer.go_on()

    def close(self) -> None:
        """Let the worker go on for good: it may have been stopped after its answer."""
        self.go_on()
        self._freezer.close()
        self._place.close()


class WorkerServer:
    """The judge's handle on the service: asks it to fork, from any thread.

    Some workers are started before they are needed. On a GPU a worker starts CUDA, which takes 0.3 to 1.5 s and delays
    the driver's other calls, so no candidate can be timed meanwhile. So workers start while candidates are checked, and
    a worker that is still starting when a timing begins is stopped until the next check. All judges of a GPU share a
    number of places in which workers start (``DeviceTraits.starts_at_once``).
    """

    def __init__(self, control: socket.socket, device: str) -> None:
        self._control = control
        self._device = device
        # Of the places in which workers start: "" until the judge knows which GPU it has.
        self._hardware_id = ""
        # Whether a worker is awaited by a trial that has the device alone: no other judge starts any until it is over.
        self._is_alone = False
        self._turn = threading.Lock()
        self._beginning = threading.Lock()
        # Guards the attributes below; notified when a worker has started or failed to start.
        self._change = threading.Condition()
        self._reserve: deque[WorkerProcess] = deque()
        self._may_start = False
        # Threads, each of which starts one worker after the other.
        self._starters: set[threading.Thread] = set()
        self._starting: list[_Start] = []
        self._complaint = ""

    def share_starts(self, hardware_id: str) -> None:
        """From now on, share the places in which workers start with the other judges of a device."""
        self._hardware_id = hardware_id

    def call_up(self) -> None:
        """Have workers start in the background, some at once, until the judge calls ``rest``."""
        with self._change:
            self._may_start = True
            for each in self._starting:
                each.go_on()
            while len(self._starters) < traits_of(self._device).workers_at_once:
                starter = threading.Thread(target=self._fill_reserve, daemon=True)
                self._starters.add(starter)
                starter.start()

    def rest(self) -> None:
        """Let no worker start: workers that are starting are stopped until ``call_up``."""
        with self._change:
            self._may_start = False
            for each in self._starting:
                each.stop()

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """A time in which no worker starts. Workers that were about to start do so afterwards."""
        may_start = self._may_start
        self.rest()
        yield
        if may_start:
            self.call_up()

    def take(self) -> WorkerProcess:
        """A worker that has started. Raises HarnessError where none can."""
        may_start = self._may_start
        self._is_alone = not holds.has_company()
        try:
            for _ in range(len(self._reserve) + 2):
                worker = self._next()
                if worker is None:
                    continue
                if not messages.is_readable(worker.connection):
                    return worker
                # It had no request yet, so a readable socket means that it has ended.
                worker.kill()
                self._complaint = "its process ended"
        finally:
            self._is_alone = False
            if not may_start:
                self.rest()
        raise HarnessError(f"a worker does not start ({self._complaint}); check that the device has memory left")

    def _next(self) -> WorkerProcess | None:
        """The next worker of the reserve, once there is one; None if it is empty and a start failed."""
        if not self._reserve:
            self.call_up()
        while True:
            with self._change:
                if self._reserve:
                    return self._reserve.popleft()
                if not self._starters:
                    return None
                self._change.wait(BETWEEN_LOOKS_S)
            # A start takes a second while other judges start workers too.
            give_way()

    def _fill_reserve(self) -> None:
        try:
            while (start := self._begun()) is not None:
                complaint = self._complaint_of(start)
                if complaint:
                    start.worker.kill()
                with self._change:
                    start.close()
                    self._starting.remove(start)
                    self._complaint = complaint
                    if not complaint:
                        self._reserve.append(start.worker)
                    self._change.notify_all()
                if complaint:
                    return
        finally:
            with self._change:
                self._starters.discard(threading.current_thread())
                self._change.notify_all()

    def _begun(self) -> _Start | None:
        """One more worker that starts; None if none may start any more, or the reserve will be full."""
        # One thread at a time: a worker is needed at once only as long as none has begun to start.
        with self._beginning:
            while True:
                with self._change:
                    due = traits_of(self._device).spare_workers - len(self._reserve) - len(self._starting)
                    if not self._may_start or due <= 0:
                        # Removed before the lock is released: a later ``call_up`` must start another thread.
                        self._starters.discard(threading.current_thread())
                        return None
                    place = self._place()
                    if place is not None:
                        start = _Start(self.fork(), place)
                        self._starting.append(start)
                        return start
                time.sleep(BETWEEN_LOOKS_S)

    def _place(self) -> ExitStack | None:
        """A place for one more worker to start in, to be closed when it has; None if none is free."""
        every, held = traits_of(self._device).starts_at_once, ExitStack()
        if every is not None and self._hardware_id and not self._is_alone:
            is_needed = len(self._reserve) + len(self._starting) < traits_of(self._device).workers_at_once
            descriptor = lock.free_place(f"start-{self._hardware_id}", every if is_needed else 1)
            if descriptor is None:
                return None
            held.callback(os.close, descriptor)
        return held

    def _complaint_of(self, start: _Start) -> str:
        """Why a new worker has not started; empty if it has."""
        try:
            messages.send(start.worker.connection, {"ask": "start", "threads": device_named(self._device).threads()})
            answer = self._first_answer(start)
        except messages.ConnectionEnded:
            return "its process ended"
        except messages.DeadlinePassed:
            return f"no word within {START_TIMEOUT_S:.0f} s"
        except messages.MalformedFrame as error:
            return str(error)
        return answer.raised if isinstance(answer, answers.Raised) else ""

    def _first_answer(self, start: _Start) -> Any:
        while True:
            start.was_stopped = not self._may_start
            try:
                return answers.receive(start.worker.connection, "start", timeout_s=START_TIMEOUT_S)[0]
            except messages.DeadlinePassed:
                if not start.was_stopped:
                    raise

    def fork(self, *, builder: bool = False) -> WorkerProcess:
        """A new worker, waiting for its first message; a ``builder`` sees no GPU."""
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        with self._turn:
            device = "cpu" if builder else self._device
            what = {"device": device, "gpu": device_named(device).gpu_file()}
            messages.send(self._control, what, [theirs.fileno(), writing])
            theirs.close()
            os.close(writing)
            answer, holds = answers.receive(self._control, "fork", timeout_s=60)
        group = Group(Path(answer.group)) if answer.group else None
        return WorkerProcess(ours, reading, answer.supervisor, hold=holds[0] if holds else None, group=group)
