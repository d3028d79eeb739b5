"""A worker that can be stopped with all that it started: between requests, when it must not compute, or within one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pytest_kernelbench.evaluation.clock.freezing import StillStarting
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.worker_process import WorkerProcess
from pytest_kernelbench.records import Outcome

# CPU time that a worker may use between two requests, to free its last answer and while its threads fall asleep: so
# many seconds, and this share of the time.
IDLE_CPU_SECONDS = 0.005
IDLE_CPU_SHARE = 0.3
# The same for a stopped worker, whose ended children are counted in steps of 10 ms.
ASLEEP_CPU_SECONDS = 0.03
ASLEEP_CPU_SHARE = 0.05
# A worker that is stopped within a request may be in a call of the driver, which stops it when the call returns.
SECONDS_TO_STAND = 2.0


class StoppableWorker:
    """One worker process. ``is_asked``: whether a request is not answered yet, so that the worker may compute."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.worker = worker
        self.is_asked = False
        self._tree = worker.freezer()
        # When the worker was stopped, and the CPU seconds that it had used by then; None while it may run.
        self._asleep_since: tuple[float, float] | None = None
        self._asleep_s = self._worked_asleep_s = 0.0

    @property
    def is_asleep(self) -> bool:
        """Whether the worker is stopped."""
        return self._asleep_since is not None

    def freeze(self) -> None:
        """Stop the worker and all it started until ``thaw``; a request wakes it for as long as it answers."""
        try:
            self._tree.stop_all()
        except StillStarting as still:
            raise CandidateFailed(
                Outcome.VOID, f"starts processes between requests: {still}", ("works_unasked",)
            ) from None
        self._asleep_since = time.perf_counter(), self.spent_seconds()

    def thaw(self) -> None:
        """Let the worker go on. Raises CandidateFailed where it has computed although it was stopped."""
        if self._asleep_since is None:
            return
        since, spent_before = self._asleep_since
        self._asleep_since = None
        self._worked_asleep_s += self.spent_seconds() - spent_before
        self._asleep_s += time.perf_counter() - since
        if self._worked_asleep_s > ASLEEP_CPU_SECONDS + ASLEEP_CPU_SHARE * self._asleep_s:
            raise CandidateFailed(
                Outcome.VOID,
                f"computed for {self._worked_asleep_s * 1e3:.4g} ms while it was stopped",
                ("works_unasked",),
            )
        self._tree.go_on()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """A time in which the worker is stopped while the judge waits; it does not count among the worker's pauses.

        A worker that was asked for something may end a call of the driver first. Of any other this raises as ``freeze``
        and ``thaw`` do.
        """
        if self.is_asked:
            self._interrupt()
            yield
            self._tree.go_on()
            return
        self.freeze()
        yield
        self.thaw()
        self._asleep_s = self._worked_asleep_s = 0.0

    def _interrupt(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_STAND
        # A worker may start processes while it answers. This stops the ones that exist; the next stop finds the others.
        with suppress(StillStarting):
            while not self._tree.stop_all() and time.monotonic() < deadline:
                pass

    @contextmanager
    def idle(self) -> Iterator[None]:
        """A time in which nothing is asked of the worker, so that it must not compute."""
        started, cpu_before = time.perf_counter(), self.worker.cpu_seconds()
        yield
        worked = self.worker.cpu_seconds() - cpu_before
        if worked > IDLE_CPU_SECONDS + IDLE_CPU_SHARE * (time.perf_counter() - started):
            raise CandidateFailed(
                Outcome.VOID,
                f"computed for {worked * 1e3:.4g} ms between requests",
                ("works_unasked",),
            )

    def keep_to(self, cores: set[int]) -> None:
        """Have the worker, which is stopped, run on these cores from now on."""
        self.worker.keep_to(cores)

    def spent_seconds(self) -> float:
        """CPU time so far of the worker and of all processes that it started."""
        return self.worker.spent_seconds()
