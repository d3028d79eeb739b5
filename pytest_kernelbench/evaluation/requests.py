"""The queue between callers and judges: requests by task, with limits on how many wait and on how long."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

from pytest_kernelbench.errors import TooLate, UsageError
from pytest_kernelbench.records import Evaluation, Task

# Requests that one judge is handed at once: their builds share the cores, and one dead judge costs that many a retry.
AT_ONCE = 8
# Waiting requests a judge, beyond which submit() blocks: enough that no judge runs dry while a caller samples.
WAITING_PER_JUDGE = 4 * AT_ONCE
# Batches a judge that may go before a request of another task: without a limit, a task that many clients ask about
# keeps all judges, and another client waits for ever.
PASSED_OVER_PER_JUDGE = 4


@dataclass(slots=True)
class Request:
    """One source to be judged. ``deadline`` is on ``time.monotonic``'s clock; None: none.

    ``arrived``: how many batches the judges had taken when it came.
    """

    task: Task
    source: str | None
    deadline: float | None
    verdict: Future[Evaluation] = field(default_factory=Future)
    attempts: int = 0
    arrived: int = 0


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

    def put(self, request: Request, *, timeout_s: float | None = None) -> None:
        """Wait for room, then add. Raises TooLate where none came in time and UsageError once closed."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._waiting < self._most, timeout_s):
                raise TooLate(
                    f"{request.task.id}: {self._waiting} requests wait already and none was taken within "
                    f"{timeout_s:.0f} s; ask for less at once or give the pool more devices"
                )
            if self._closed:
                raise UsageError(f"{request.task.id}: the pool is closed; submit before close()")
            request.arrived = self._batches
            self._by_task.setdefault(request.task.sha256, deque()).append(request)
            self._added()

    def put_back(self, request: Request) -> bool:
        """Add before all others of its task, even where there is no room. False, and nothing is added, once closed."""
        with self._changed:
            if self._closed:
                return False
            self._by_task.setdefault(request.task.sha256, deque()).appendleft(request)
            self._added()
            return True

    def take(self, last_task: str | None) -> list[Request]:
        """Up to ``AT_ONCE`` requests of one task; waits for some. Empty once closed.

        The task is ``last_task`` if it has any, unless a request of another was passed over too often. While fewer
        wait than all judges could take, each judge takes its share. A request that is tried again comes alone: what
        ended its judge may have been another candidate.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting > 0)
            if self._closed:
                return []
            key = self._task_to_take(last_task)
            queue = self._by_task[key]
            share = min(AT_ONCE, -(-self._waiting // self._judges))
            taken = [queue.popleft()]
            while queue and not taken[0].attempts and not queue[0].attempts and len(taken) < share:
                taken.append(queue.popleft())
            if not queue:
                del self._by_task[key]
            self._waiting -= len(taken)
            self._batches += 1
            self._changed.notify_all()
            return taken

    def close(self) -> list[Request]:
        """Let nobody wait any longer; returns what nobody has taken."""
        with self._changed:
            self._closed = True
            left = [request for queue in self._by_task.values() for request in queue]
            self._by_task.clear()
            self._waiting = 0
            self._changed.notify_all()
            return left

    def _task_to_take(self, last_task: str | None) -> str:
        def longest_first(task: str) -> tuple[int, int]:
            head = self._by_task[task][0]
            return -head.attempts, head.arrived

        waits_longest = min(self._by_task, key=longest_first)
        passed_over = self._batches - self._by_task[waits_longest][0].arrived
        if last_task in self._by_task and passed_over < PASSED_OVER_PER_JUDGE * self._judges:
            assert last_task is not None
            return last_task
        return waits_longest

    def _added(self) -> None:
        self._waiting += 1
        self._changed.notify_all()
