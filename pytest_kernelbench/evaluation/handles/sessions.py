"""The workers of one task's trials: starts them, and stops them all while another judge times on the device."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from weakref import WeakSet

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.baselines import BASELINES, EAGER
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.device_room import leave_room_if_short
from pytest_kernelbench.evaluation.handles.leaving import Leaving
from pytest_kernelbench.evaluation.handles.racks import Rack
from pytest_kernelbench.evaluation.handles.session import SEEDED, WorkerSession
from pytest_kernelbench.evaluation.handles.worker_process import WorkerProcess
from pytest_kernelbench.evaluation.handles.workers import WorkerServer
from pytest_kernelbench.evaluation.sharing.holds import Hold
from pytest_kernelbench.evaluation.stages import stage


class Sessions:
    """Starts the workers of one task's trials on ``device``.

    ``cache`` is the folder of builds; ``watch`` is the owner's socket, see ``WorkerRequests``.
    """

    def __init__(self, workers: WorkerServer, device: str, *, cache: Path, watch: socket.socket) -> None:
        self.workers = workers
        self.device = device
        self._cache = cache
        self._watch = watch
        self._all: WeakSet[WorkerSession] = WeakSet()
        self._leaving = Leaving()

    def start(self, bench: Bench, rack: Rack) -> WorkerSession:
        """A new worker for the task of ``bench``, with the slots of ``rack``."""
        return self._session_of(self.workers.take(), bench, rack)

    def _session_of(self, worker: WorkerProcess, bench: Bench, rack: Rack) -> WorkerSession:
        session = WorkerSession(worker, bench, rack, cache=self._cache, watch=self._watch)
        self._all.add(session)
        return session

    @contextmanager
    def for_a_while(self, bench: Bench, rack: Rack) -> Iterator[WorkerSession]:
        """A new worker that begins to end when the context ends."""
        session = self.start(bench, rack)
        try:
            yield session
        finally:
            self.leave(session)

    def leave(self, session: WorkerSession) -> None:
        """Begin to end a worker; ``wait_for_ends`` waits until it has ended."""
        self._leaving.add(session)

    def again(self, session: WorkerSession, bench: Bench, rack: Rack) -> WorkerSession:
        """The process of ``session``, which has loaded a candidate, for another task: ``session`` can only end it."""
        other = WorkerSession(session.worker, bench, rack, cache=self._cache, watch=self._watch)
        # What fails from here on may be the candidate's doing.
        other.loaded = True
        return other

    def wait_for_ends(self) -> None:
        """Return when every worker that began to end has ended: to be called before anything is timed.

        Raises HarnessError where one does not end.
        """
        self._leaving.wait()

    def loaded(self, bench: Bench, rack: Rack, source: str, weights: str = SEEDED) -> WorkerSession:
        """A new worker in which ``source`` is the candidate."""
        return self._loaded_in(self.workers.take(), bench, rack, source, weights)

    def _loaded_in(
        self, worker: WorkerProcess, bench: Bench, rack: Rack, source: str, weights: str = SEEDED
    ) -> WorkerSession:
        session = self._session_of(worker, bench, rack)
        try:
            session.load(source, weights=weights)
        except BaseException:
            session.close()
            raise
        return session

    def start_control(self, bench: Bench, rack: Rack) -> WorkerSession:
        """A control: a worker that no candidate was ever in, with the reference in the candidate's place.

        It uses the same slots as the candidate, in turns: two sets of slots do not fit for a task of 13 GB.
        """
        source = f"{bench.source}{BASELINES[EAGER]}"
        if (kept := self.workers.kept_control()) is not None:
            # What goes wrong in it may come from the task before.
            with suppress(CandidateFailed, HarnessError):
                return self._loaded_in(kept, bench, rack, source)
        return self.loaded(bench, rack, source)

    def keep_control(self, session: WorkerSession) -> None:
        """Keep a control for the next task if there is a place for it; else, and where it fails, end it."""
        if self.workers.has_place_for_control:
            with suppress(CandidateFailed, HarnessError):
                self.workers.keep_control(session.release())
                return
        self.leave(session)

    def way_for_others(self, hold: Hold, seconds: dict[str, float]) -> Callable[[], None]:
        """A function for ``giving_way``: it lets trials pass that wait to have the device alone.

        Meanwhile the judge and its workers do nothing on the device. ``seconds["wait"]`` grows by the time that takes.
        """
        return partial(self._let_pass, hold, seconds)

    def _let_pass(self, hold: Hold, seconds: dict[str, float]) -> None:
        if hold.is_awaited:
            with stage(seconds, "wait"), self._at_rest():
                hold.let_pass()

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        """A time in which neither the judge nor a worker uses the device."""
        device = device_named(self.device)
        self.wait_for_ends()
        leave_room_if_short(device)
        device.settle()
        with ExitStack() as stopped:
            for session in list(self._all):
                if not session.is_closed and not session.is_asleep:
                    stopped.enter_context(session.stopped())
            yield
