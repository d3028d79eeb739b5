"""The queue between callers and judges: requests by task, with limits on how many wait and on how long."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from threading import TIMEOUT_MAX
from typing import Any

from pytest_kernelbench.errors import TooLate, UsageError
from pytest_kernelbench.evaluation.clock.gates import Gate
from pytest_kernelbench.records import Task

# Requests that one judge receives at once: their builds share the cores; if the judge dies, all are retried.
AT_ONCE = 8
# For each judge, so many requests may wait before submit() blocks: enough that none runs dry while a caller samples.
WAITING_PER_JUDGE = 4 * AT_ONCE
# For each judge, so many batches of one task may overtake an older request of another task. Without a limit, a task
# that many clients ask about keeps all judges, and other clients wait for ever.
PASSED_OVER_PER_JUDGE = 4
# Of more deadlines than this, the deadlines of requests that have a verdict are removed.
LEAST_TO_TIDY = 1024


@dataclass(slots=True)
class Request:
    """One source to be judged; or with ``comparison``, a baseline's source and a gate, to be compared with that.

    ``attempts``: number of judges that died while it was tried. ``alone``: a judge died that also had this request, so
    the next judge receives it alone. ``arrived``: how many batches the judges had taken before it.
    """

    task: Task
    source: str | None
    comparison: tuple[str, Gate] | None = None
    verdict: Future[Any] = field(default_factory=Future)
    attempts: int = 0
    alone: bool = False
    arrived: int = 0

    @property
    def single(self) -> bool:
        """Whether a judge receives it alone."""
        return self.alone or self.comparison is not None


class Requests:
    """The queue: requests by task, because a judge that stays with its task draws and measures it once."""

    def __init__(self, most: int, judges: int = 1) -> None:
        self._most = most
        self._judges = judges
        self._by_task: dict[str, deque[Request]] = {}
        self._waiting = 0
        self._batches = 0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def closed(self) -> bool:
        """Whether nothing is taken or added any more."""
        return self._closed

    def put(self, request: Request, *, timeout_s: float | None = None) -> None:
        """Wait for room, then add; a request that has failed or was cancelled by then is not added.

        Raises TooLate where no room came in time and UsageError once closed.
        """

        def may_go_on() -> bool:
            return self._closed or self._waiting < self._most or request.verdict.done()

        with self._changed:
            if not self._changed.wait_for(may_go_on, None if timeout_s is None else min(timeout_s, TIMEOUT_MAX)):
                raise TooLate(
                    f"{request.task.id}: {self._waiting} requests wait already and none was taken within "
                    f"{timeout_s:.0f} s; ask for less at once or give the pool more devices"
                )
            if self._closed:
                raise UsageError(f"{request.task.id}: the pool is closed; submit before close()")
            if request.verdict.done():
                return
            request.arrived = self._batches
            self._by_task.setdefault(request.task.sha256, deque()).append(request)
            self._added()

    def put_back(self, request: Request) -> bool:
        """Add a request before all others of its task, even without room. Once closed: add nothing, return False."""
        with self._changed:
            if self._closed:
                return False
            self._by_task.setdefault(request.task.sha256, deque()).appendleft(request)
            self._added()
            return True

    def take(self, last_task: str | None) -> list[Request]:
        """Up to ``AT_ONCE`` requests of one task; waits for some. Empty once closed.

        The task is ``last_task`` if it has requests, unless a request of another task was passed over too often. If
        fewer requests wait than all judges could take, each judge takes its share. A request whose judge died comes
        first and alone, because another candidate may have ended the judge.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting > 0)
            if self._closed:
                return []
            key = self._task_to_take(last_task)
            queue = self._by_task[key]
            share = min(AT_ONCE, -(-self._waiting // self._judges))
            taken = [queue.popleft()]
            while queue and not taken[0].single and not queue[0].single and len(taken) < share:
                taken.append(queue.popleft())
            if not queue:
                del self._by_task[key]
            self._waiting -= len(taken)
            self._batches += 1
            self._changed.notify_all()
            return taken

    def take_all(self) -> list[Request]:
        """All requests that no judge has taken, the empty queue left open."""
        with self._changed:
            left = [request for queue in self._by_task.values() for request in queue]
            self._by_task.clear()
            self._waiting = 0
            self._changed.notify_all()
            return left

    def close(self) -> list[Request]:
        """Wake every waiting thread; returns the requests that no judge has taken."""
        with self._changed:
            self._closed = True
            return self.take_all()

    def _task_to_take(self, last_task: str | None) -> str:
        def longest_first(task: str) -> tuple[bool, int]:
            head = self._by_task[task][0]
            return not head.alone, head.arrived

        waits_longest = min(self._by_task, key=longest_first)
        passed_over = self._batches - self._by_task[waits_longest][0].arrived
        may_stay = last_task in self._by_task and passed_over < PASSED_OVER_PER_JUDGE * self._judges
        return last_task if may_stay and last_task is not None else waits_longest

    def _added(self) -> None:
        self._waiting += 1
        self._changed.notify_all()


class Deadlines:
    """Has requests fail once their time has passed. One thread for all, begun with the first."""

    def __init__(self) -> None:
        # Each: the deadline (``time.monotonic``), a number that orders equal ones, the verdict, the error at the
        # deadline.
        self._heap: list[tuple[float, int, Future[Any], TooLate]] = []
        self._numbers = count()
        self._changed = threading.Condition()
        self._tidied_at = LEAST_TO_TIDY
        self._thread: threading.Thread | None = None
        self._closed = False

    def watch(self, request: Request, within_s: float, *, until: float) -> None:
        """Have the request fail with TooLate if it has no verdict at ``until`` (``time.monotonic``'s clock).

        ``within_s``, which the message names, is the caller's limit; it began when the caller began to wait for room.
        """
        error = TooLate(f"{request.task.id}: no verdict within {within_s:g} s; allow more or ask for less")
        with self._changed:
            heappush(self._heap, (until, next(self._numbers), request.verdict, error))
            if len(self._heap) >= self._tidied_at:
                # Else verdicts would be kept in memory until their deadline, which may be days away.
                self._heap = [each for each in self._heap if not each[2].done()]
                heapify(self._heap)
                self._tidied_at = max(LEAST_TO_TIDY, 2 * len(self._heap))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """End the thread; the deadlines of its requests no longer apply."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                left_s = self._heap[0][0] - time.monotonic() if self._heap else None
                if left_s is not None and left_s <= 0:
                    _, _, verdict, error = heappop(self._heap)
                    with suppress(InvalidStateError):
                        verdict.set_exception(error)
                else:
                    self._changed.wait(None if left_s is None else min(left_s, TIMEOUT_MAX))
