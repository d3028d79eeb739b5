"""The judge's handles on the workers that the service forks for it, and on the service itself."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

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
# How soon a worker that starts is stopped when a trial wants the device for itself.
BETWEEN_LOOKS_S = 0.005
# How soon a place for a start, or a worker that has started, is found.
BETWEEN_PLACES_S = 0.02


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


class WorkerServer:
    """The judge's handle on the service: asks it to fork, from any thread.

    Some workers are started before they are needed. On a GPU a worker starts CUDA, which takes 0.3 to 1.5 s and delays
    the driver's other calls, so no candidate can be timed meanwhile. So a thread that starts a worker shares the device
    with others, and stops the worker while a process has the device alone. All judges of a device share a number of
    places in which workers start (``DeviceTraits.starts_at_once``).
    """

    def __init__(self, control: socket.socket, device: str) -> None:
        self._control = control
        self._device = device
        self._hardware_id = ""
        self._turn = threading.Lock()
        # Held by the thread whose worker is the next one to get a place.
        self._queue = threading.Lock()
        # Guards the attributes below; notified when a worker has started or failed to start.
        self._change = threading.Condition()
        self._reserve: deque[WorkerProcess] = deque()
        # Workers that were controls of another task: no candidate was ever in them, and none ever will be.
        self._controls: deque[WorkerProcess] = deque()
        # Threads, each of which starts one worker after the other.
        self._starters: set[threading.Thread] = set()
        self._n_starting = 0
        self._failures = 0
        self._complaint = ""

    def keep_ready(self, hardware_id: str) -> None:
        """From now on, have some workers started on the device with this identity before they are needed."""
        self._hardware_id = hardware_id
        with self._change:
            self._fill_up()

    def take(self) -> WorkerProcess:
        """A worker that has started. Raises HarnessError where none can."""
        for _ in range(len(self._reserve) + 2):
            worker = self._next()
            if worker is None:
                continue
            if not worker.has_ended:
                return worker
            worker.kill()
            self._complaint = "its process ended"
        raise HarnessError(f"a worker does not start ({self._complaint}); check that the device has memory left")

    @property
    def has_place_for_control(self) -> bool:
        """Whether one more worker may be kept for a control."""
        return len(self._controls) < traits_of(self._device).kept_controls

    def keep_control(self, worker: WorkerProcess) -> None:
        """Keep a worker without a task for a control of the next one."""
        self._controls.append(worker)

    def kept_control(self) -> WorkerProcess | None:
        """Of the workers that are kept for controls, the one that was kept longest; None if there is none.

        So that a claim with several series gets another one each time.
        """
        while self._controls:
            worker = self._controls.popleft()
            if not worker.has_ended:
                return worker
            worker.kill()
        return None

    def end_controls(self) -> None:
        """End the workers that are kept for controls."""
        while (worker := self.kept_control()) is not None:
            worker.kill()

    def _next(self) -> WorkerProcess | None:
        """The next worker of the reserve, once there is one; None if a start failed."""
        failures = self._failures
        while True:
            with self._change:
                worker = self._reserve.popleft() if self._reserve else None
                self._fill_up()
                if worker is not None:
                    return worker
                is_alone = not holds.has_company()
                if not is_alone:
                    self._change.wait(BETWEEN_PLACES_S)
                    if not self._reserve and self._failures > failures:
                        return None
            if is_alone:
                # The threads wait until others may use the device.
                return self._started()
            # A start takes a second while other judges start workers too.
            give_way()

    def _fill_up(self) -> None:
        """Have threads start workers until the reserve is full."""
        traits = traits_of(self._device)
        missing = traits.spare_workers - len(self._reserve) - self._n_starting
        while self._hardware_id and len(self._starters) < min(traits.workers_at_once, missing):
            starter = threading.Thread(target=self._fill_reserve, daemon=True)
            self._starters.add(starter)
            starter.start()

    def _fill_reserve(self) -> None:
        try:
            while (place := self._place()) is not None:
                worker = None
                try:
                    with place, ExitStack() as shared:
                        shared.enter_context(lock.shared(self._hardware_id))
                        worker = self._started(shared)
                finally:
                    with self._change:
                        self._n_starting -= 1
                        if worker is not None:
                            self._reserve.append(worker)
                            self._change.notify_all()
                if worker is None:
                    return
        except (HarnessError, OSError, messages.DeadlinePassed) as error:
            self._complaint = str(error) or type(error).__name__
        finally:
            with self._change:
                if threading.current_thread() in self._starters:
                    # It did not end because the reserve is full.
                    self._failures += 1
                    self._starters.remove(threading.current_thread())
                self._change.notify_all()

    def _place(self) -> ExitStack | None:
        """A place for one more worker to start in, once one is free; None if the reserve will be full without it."""
        traits = traits_of(self._device)
        # One thread at a time: a worker is needed at once only as long as few have begun to start.
        with self._queue:
            while True:
                with self._change:
                    begun = len(self._reserve) + self._n_starting
                    if begun >= traits.spare_workers:
                        # Removed before the lock is released: ``_fill_up`` must start another thread later.
                        self._starters.discard(threading.current_thread())
                        return None
                    if (place := self._free_place(is_needed=begun < traits.workers_at_once)) is not None:
                        self._n_starting += 1
                        return place
                time.sleep(BETWEEN_PLACES_S)

    def _free_place(self, *, is_needed: bool) -> ExitStack | None:
        """A place in which a worker may start, to be closed when it has started; None if none is free."""
        every, held = traits_of(self._device).starts_at_once, ExitStack()
        if every is not None:
            descriptor = lock.free_place(f"start-{self._hardware_id}", every if is_needed else every // 2)
            if descriptor is None:
                return None
            held.callback(os.close, descriptor)
        return held

    def _started(self, shared: ExitStack | None = None) -> WorkerProcess | None:
        """A new worker that has started; None, with a complaint, if it does not.

        ``shared``: this thread's hold of the device with others; None if the trial that awaits the worker has it alone.
        """
        worker = self.fork()
        freezer, complaint = worker.freezer(), "it was not waited for"
        try:
            messages.send(worker.connection, {"ask": "start", "threads": device_named(self._device).threads()})
            self._wait_for_answer(worker, freezer, shared)
            answer = answers.receive(worker.connection, "start", timeout_s=START_TIMEOUT_S)[0]
            complaint = answer.raised if isinstance(answer, answers.Raised) else ""
        except messages.ConnectionEnded:
            complaint = "its process ended"
        except messages.DeadlinePassed:
            complaint = f"no word within {START_TIMEOUT_S:.0f} s"
        except messages.MalformedFrame as error:
            complaint = str(error)
        finally:
            freezer.close()
            if complaint:
                worker.kill()
        self._complaint = complaint
        return None if complaint else worker

    def _wait_for_answer(self, worker: WorkerProcess, freezer: Freezer, shared: ExitStack | None) -> None:
        """Wait until a worker that starts has answered. Raises DeadlinePassed."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not messages.is_readable(worker.connection, timeout_s=BETWEEN_LOOKS_S):
            if shared is not None and lock.is_awaited(self._hardware_id):
                stopped_at = time.monotonic()
                # No candidate is in it yet, so nothing keeps starting new processes on purpose.
                with suppress(StillStarting):
                    freezer.stop_all()
                shared.pop_all().close()
                shared.enter_context(lock.shared(self._hardware_id))
                freezer.go_on()
                deadline += time.monotonic() - stopped_at
            elif time.monotonic() > deadline:
                raise messages.DeadlinePassed

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
            answer, handles = answers.receive(self._control, "fork", timeout_s=60)
        group = Group(Path(answer.group)) if answer.group else None
        return WorkerProcess(ours, reading, answer.supervisor, hold=handles[0] if handles else None, group=group)
