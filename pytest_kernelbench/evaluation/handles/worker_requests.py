"""Requests to one worker process, and how a timeout, a crash or an answer out of bounds becomes an outcome.

Between requests a worker may be frozen: it is stopped with all processes that it started, and each request wakes it
until it answers. A worker that computes between requests cheats.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.boundary import answers, messages
from pytest_kernelbench.evaluation.building.builds import BUILD_LIMIT_S, BuildWanted
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.device_room import DeviceRoom
from pytest_kernelbench.evaluation.handles.stoppable import StoppableWorker
from pytest_kernelbench.evaluation.handles.worker_process import WorkerProcess
from pytest_kernelbench.evaluation.judges.endings import signal_name
from pytest_kernelbench.evaluation.sharing.giving_way import give_way
from pytest_kernelbench.records import Outcome

REQUEST_TIMEOUT_S = 10.0
# Requests in which torch's compiler may build. Timed calls are not among them.
MAY_BUILD = frozenset("load adopt_weights move_parameters run warm rehearse".split())
TIMING_TIMEOUT_S = 60.0
# So long may work run on the device after a stopped worker has answered.
BUSY_AFTER_S = 2.0
# Requests in whose answers time is told, or that the judge's clock times.
TIMED = frozenset("pairs series calls profile".split())
# How long the judge listens to a worker before it lets other trials pass.
BETWEEN_LOOKS_S = 0.05


class WorkerRequests(StoppableWorker):
    """One worker process. Every method raises CandidateFailed when the candidate, or its process, fails.

    A failure before the candidate is ``loaded`` is the harness's. ``watch`` is the owner's socket: when it ends, no
    answer is needed any more.
    """

    def __init__(self, worker: WorkerProcess, bench: Bench, *, watch: socket.socket) -> None:
        super().__init__(worker)
        self.bench = bench
        self.loaded = False
        # Seconds for which torch's compiler built for the candidate, as reported by its process.
        self.built_s = 0.0
        # Seconds for which it was stopped within its answers, so that other trials could pass.
        self.paused_s = 0.0
        self.room = DeviceRoom(bench)
        self._watch = watch
        self._device = device_named(bench.device)
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the worker has ended, or was released."""
        return self._closed

    def end(self) -> None:
        """Begin to end the worker; ``close`` waits for its end. Several may end at once: leaving a GPU takes time."""
        if not self._closed:
            self.worker.end()

    def close(self) -> None:
        """End the worker with all it started, and wait for that. A second call does nothing."""
        if not self._closed:
            self._let_go()
            self.worker.kill()

    def release(self) -> WorkerProcess:
        """The process, which no candidate was ever in, without its task and slots, for another session.

        Raises HarnessError where it does not let go of them; the session is then to be closed.
        """
        self.thaw()
        self.send({"ask": "forget"})
        try:
            # Its owner, who has all answers by then, may have sent the next request: so that is not watched.
            answer, _ = answers.receive(self.worker.connection, "forget", timeout_s=REQUEST_TIMEOUT_S)
        except (messages.ConnectionEnded, messages.DeadlinePassed, messages.MalformedFrame) as error:
            answer = answers.Raised(raised=str(error), kind=type(error).__name__)
        if isinstance(answer, answers.Raised):
            raise HarnessError(f"{self.bench.task_id}: a control does not forget its task ({answer.raised})")
        self._let_go()
        return self.worker

    def _let_go(self) -> None:
        self._closed = True
        self._tree.close()

    def leave_room(self) -> None:
        """Have the worker give back the device memory that its torch keeps."""
        self.ask({"ask": "leave_room"}, doing="giving back memory")

    def ask(
        self,
        request: dict[str, Any],
        descriptors: Sequence[int] = (),
        *,
        doing: str,
        timeout_s: float | None = None,
        on_error: Outcome = Outcome.RUNTIME_ERROR,
    ) -> Any:
        """Send a request and return its answer. Raises CandidateFailed, BuildWanted, HarnessError.

        ``doing`` names the request in errors. ``on_error``: the outcome if the candidate raises or its process ends.
        """
        self.room.for_worker()
        timeout_s = REQUEST_TIMEOUT_S if timeout_s is None else timeout_s
        return self._put(request, descriptors, doing=doing, timeout_s=timeout_s, on_error=on_error)

    def ask_by_the_clock(self, request: dict[str, Any], *, doing: str, timeout_s: float) -> tuple[Any, float]:
        """An answer, and the seconds until it came, without builds, pauses and the judge's freeing of memory."""
        self.room.for_worker()
        started, others_s = time.perf_counter(), self.built_s + self.paused_s
        answer = self._put(request, (), doing=doing, timeout_s=timeout_s, on_error=Outcome.RUNTIME_ERROR)
        return answer, time.perf_counter() - started - (self.built_s + self.paused_s - others_s)

    def _put(
        self, request: dict[str, Any], descriptors: Sequence[int], *, doing: str, timeout_s: float, on_error: Outcome
    ) -> Any:
        asleep = self.is_asleep
        self.send(request, descriptors)
        self.thaw()
        answer = self.answer(request["ask"], timeout_s=timeout_s, doing=doing, on_error=on_error)
        if asleep:
            self.freeze()
        return answer

    def send(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a request whose answer is read later."""
        self.is_asked = True
        # A worker that has ended, or does not read, cannot be written to; its last message tells how it ended.
        with suppress(messages.ConnectionEnded, messages.DeadlinePassed):
            messages.send(self.worker.connection, request, descriptors, timeout_s=messages.SEND_TIMEOUT_S)

    def answer(self, ask: str, *, timeout_s: float, doing: str, on_error: Outcome) -> Any:
        """The worker's answer to ``ask`` (see ``answers``). Raises HarnessError for a failure before the load."""
        try:
            return self._answer_of_candidate(ask, timeout_s=timeout_s, doing=doing, on_error=on_error)
        except CandidateFailed as failure:
            if self.loaded:
                raise
            raise HarnessError(
                f"{self.bench.task_id}: a worker on {self.bench.device} fails while {doing} ({failure.detail}); "
                "check the task file, and that the device has memory left"
            ) from None

    def _received(self, ask: str, timeout_s: float) -> tuple[Any, list[int]]:
        """The first answer that is not about building. In untimed calls, torch's compiler has a time limit of its own.

        Until then other trials that wait for the device are timed, except while this worker is. Raises as
        ``answers.receive`` does.
        """
        deadline, building_since = time.monotonic() + timeout_s, None
        while True:
            until = deadline if building_since is None else building_since + BUILD_LIMIT_S - self.built_s
            if ask not in TIMED and time.monotonic() < until and not self._says_something(until):
                before = time.monotonic()
                give_way()
                # The worker was stopped meanwhile.
                paused_s = time.monotonic() - before
                self.paused_s += paused_s
                deadline += paused_s
                building_since = None if building_since is None else building_since + paused_s
                continue
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise messages.DeadlinePassed
            answer, files = answers.receive(self.worker.connection, ask, timeout_s=left_s, watch=self._watch)
            now = time.monotonic()
            ends = not (isinstance(answer, answers.Building) and answer.building)
            if building_since is not None and ends:
                self.built_s += now - building_since
                deadline += now - building_since
                building_since = None
            if not isinstance(answer, answers.Building):
                self.is_asked = False
                return answer, files
            if answer.building and ask in MAY_BUILD:
                building_since = building_since or now

    def _says_something(self, until: float) -> bool:
        """Whether the worker has answered, or its owner has ended, within a moment and before ``until``."""
        moment_s = max(0.0, min(BETWEEN_LOOKS_S, until - time.monotonic()))
        return messages.is_readable(self.worker.connection, timeout_s=moment_s) or messages.is_readable(self._watch)

    def _answer_of_candidate(self, ask: str, *, timeout_s: float, doing: str, on_error: Outcome) -> Any:
        try:
            answer, unasked = self._received(ask, timeout_s)
        except messages.DeadlinePassed:
            raise CandidateFailed(Outcome.TIMEOUT, f"no answer within {timeout_s:.0f} s while {doing}") from None
        except messages.MalformedFrame as error:
            raise self.forged(str(error)) from None
        except messages.ConnectionEnded:
            if messages.is_readable(self._watch):
                raise
            raise CandidateFailed(on_error, f"{self._how_it_ended()} while {doing}") from None
        assert not unasked
        if isinstance(answer, answers.Wanted):
            raise BuildWanted(answer.wanted)
        if isinstance(answer, answers.Raised):
            raise CandidateFailed(on_error, answer.raised, quoted=True)
        return answer

    def packed(self) -> bytes | None:
        """The code that torch's compiler built in this process, as one archive; None if the worker does not send it.

        Only for the harness's own sources: a candidate could pack anything.
        """
        self.send({"ask": "pack_compiled"})
        with suppress(messages.DeadlinePassed, messages.MalformedFrame, messages.ConnectionEnded):
            _, files = self._received("pack_compiled", REQUEST_TIMEOUT_S)
            try:
                return next(map(answers.file_content, files), None)
            finally:
                for descriptor in files:
                    os.close(descriptor)
        return None

    def exactly(self, values: tuple[float, ...], count: int, name: str) -> list[float]:
        """``values``, if there are ``count`` of them. Raises CandidateFailed."""
        try:
            return answers.exactly(values, count, name)
        except messages.MalformedFrame as error:
            raise self.forged(str(error)) from None

    def _how_it_ended(self) -> str:
        code = self.worker.wait(timeout_s=2.0)
        if code is None:
            return "the process went silent"
        if code < 0:
            return f"the process was ended by {signal_name(-code)}"
        return f"the process exited with status {code}"

    @staticmethod
    def forged(what: str) -> CandidateFailed:
        """The failure for an answer that the worker's own code never gives: the candidate must have written it."""
        return CandidateFailed(Outcome.VOID, f"an answer that the harness does not give: {what}", ("forged_answer",))

    def timed_and_frozen(self, request: dict[str, Any]) -> tuple[Any, float]:
        """The answer of a frozen worker, and the seconds from thaw to stop; at its answer it is frozen again."""
        self.room.for_worker()
        started = time.perf_counter()
        # Sent before the thaw: the worker finds the request when it wakes, and has no time in between.
        self.send(request)
        self.thaw()
        answer = self.answer(
            request["ask"], timeout_s=TIMING_TIMEOUT_S, doing="being timed", on_error=Outcome.RUNTIME_ERROR
        )
        self._tree.stop()
        try:
            self._device.wait_until_idle(BUSY_AFTER_S)
            seconds = time.perf_counter() - started
        finally:
            self.freeze()
        return answer, seconds

    def _must_match(self, mismatch: str | None) -> None:
        if mismatch is not None:
            due = self.bench.reference.result
            raise CandidateFailed(Outcome.INCORRECT, f"returns {mismatch[:200]} where {due} is due", quoted=True)
