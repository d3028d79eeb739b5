"""The judge's handle on the service that forks its workers, some of which are started before they are needed."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from contextlib import ExitStack, suppress
from pathlib import Path

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.boundary import answers, messages
from pytest_kernelbench.evaluation.clock.freezing import Freezer, StillStarting
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.handles.worker_process import WorkerProcess
from pytest_kernelbench.evaluation.sandbox.groups import Group
from pytest_kernelbench.evaluation.sharing import holds, lock
from pytest_kernelbench.evaluation.sharing.giving_way import give_way

START_TIMEOUT_S = 60.0
# How soon a worker that starts is stopped when a trial wants the device for itself.
BETWEEN_LOOKS_S = 0.005
# How soon a place for a start, or a worker that has started, is found.
BETWEEN_PLACES_S = 0.02


class WorkerServer:
    """The judge's handle on the service: asks it to fork, from any thread.

    Some workers are started before they are needed. On a GPU a worker starts CUDA, which takes 0.3 to 1.5 s and delays
    the driver's other calls. So a thread that starts a worker shares the device with others, and stops the worker while
    a process has the device alone, unless the protocol has workers start ``beside_timing``. All judges of a device
    share a number of places in which workers start (``DeviceTraits.starts_at_once``).
    """

    def __init__(self, control: socket.socket, device: str) -> None:
        self._control = control
        self._device = device
        self._hardware_id = ""
        self._beside_timing = False
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

    def keep_ready(self, hardware_id: str, *, beside_timing: bool = False) -> None:
        """From now on, have some workers started on the device with this identity before they are needed.

        ``beside_timing``: they start whether or not a process has the device alone.
        """
        self._hardware_id, self._beside_timing = hardware_id, beside_timing
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
                must_start = not (self._beside_timing or holds.has_company())
                if not must_start:
                    self._change.wait(BETWEEN_PLACES_S)
                    if not self._reserve and self._failures > failures:
                        return None
            if must_start:
                # The threads wait until others may use the device, which this process has alone.
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
                        if not self._beside_timing:
                            shared.enter_context(lock.shared(self._hardware_id))
                        worker = self._started(None if self._beside_timing else shared)
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

        ``shared``: this thread's hold of the device with others; None where the start is not to be interrupted.
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
