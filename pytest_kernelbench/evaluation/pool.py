"""Several judges behind one queue, one for each device: a trainer's reward function, or a service, asks the pool."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, wait
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

from pytest_kernelbench.errors import CandidateFault, HarnessError, JudgeEnded, TooLate, UsageError
from pytest_kernelbench.evaluation.device.names import is_gpu, resolve_device
from pytest_kernelbench.evaluation.evaluator import Evaluator, check_request
from pytest_kernelbench.host.gpus import visible_gpus
from pytest_kernelbench.records import Evaluation, Task, sha256_of

# Requests that one judge is handed at once: their builds share the cores, and one dead judge costs that many a retry.
AT_ONCE = 8
# Waiting requests a judge, beyond which submit() blocks: enough that no judge runs dry while a caller samples.
WAITING_PER_JUDGE = 4 * AT_ONCE
ATTEMPTS = 2
BETWEEN_STARTS_S = 1.0


@dataclass(slots=True)
class Request:
    """One source to be judged. ``deadline`` is on ``time.monotonic``'s clock; None: none."""

    task: Task
    source: str | None
    deadline: float | None
    verdict: Future[Evaluation] = field(default_factory=Future)
    attempts: int = 0


class Requests:
    """The queue: requests by task, because a judge that stays with its task draws and measures it once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_task: OrderedDict[str, deque[Request]] = OrderedDict()
        self._waiting = 0
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
            self._add(request, first=False)

    def put_back(self, request: Request) -> None:
        """Add at the front, whatever waits: it has waited before."""
        with self._changed:
            self._add(request, first=True)

    def take(self, last_task: str | None) -> list[Request]:
        """Up to ``AT_ONCE`` requests of one task, ``last_task`` if it has any; waits for some. Empty once closed.

        A request that is tried again comes alone: what ended its judge may have been another candidate.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting > 0)
            if self._closed:
                return []
            key = last_task if last_task in self._by_task else next(iter(self._by_task))
            assert key is not None
            queue = self._by_task[key]
            taken = [queue.popleft()]
            while queue and not taken[0].attempts and not queue[0].attempts and len(taken) < AT_ONCE:
                taken.append(queue.popleft())
            if not queue:
                del self._by_task[key]
            self._waiting -= len(taken)
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

    def _add(self, request: Request, *, first: bool) -> None:
        queue = self._by_task.setdefault(request.task.sha256, deque())
        if first:
            queue.appendleft(request)
            self._by_task.move_to_end(request.task.sha256, last=False)
        else:
            queue.append(request)
        self._waiting += 1
        self._changed.notify_all()


class EvaluatorPool:
    """Judges candidates on several devices at once; every method may be called from any thread.

    ``devices`` names one judge each: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` (the second visible GPU), or ``"auto"`` for
    all visible GPUs, and one CPU judge where there is none. With ``ray`` ("auto", or the address of a cluster) judges
    are actors of a Ray cluster, one for each of its GPUs, and ``devices`` is "auto" or as many kinds as judges
    (``["cpu"] * 4``). Judges of one device take turns on its lock. What else
    ``settings`` holds goes to each ``Evaluator`` (``protocol``, ``precision``, ``cache``, ...). A judge that dies is
    replaced and its candidates are tried once more, one at a time. With more than ``most_waiting`` requests waiting
    (default: 32 a judge), ``submit`` blocks.

        with EvaluatorPool(devices="auto", protocol="fast") as pool:
            for index, evaluation in pool.as_completed(task, sources): ...
    """

    def __init__(
        self,
        *,
        devices: str | Sequence[str] = "auto",
        ray: str | None = None,
        most_waiting: int | None = None,
        evaluator: Callable[..., Evaluator] = Evaluator,
        **settings: object,
    ) -> None:
        if ray is None:
            named = devices_named(devices)
        else:
            from pytest_kernelbench.evaluation import ray_judges

            ray_judges.connect(ray)
            evaluator = ray_judges.RayJudge  # type: ignore[assignment]
            named = ray_judges.devices_of_cluster() if devices == "auto" else [(kind, None) for kind in devices]
        # Kind of the judges' devices; the first one's where they differ.
        self.device = named[0][0]
        self._closed = False
        self._requests = Requests(most_waiting or WAITING_PER_JUDGE * len(named))
        self._judges = [evaluator(device=device, gpu=gpu, keep_task=True, **settings) for device, gpu in named]
        self._threads = [
            threading.Thread(target=self._serve, args=(judge,), name=f"judge-{number}", daemon=True)
            for number, judge in enumerate(self._judges)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> EvaluatorPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """How many judges there are."""
        return len(self._judges)

    def submit(self, task: Task, source: str | None, *, within_s: float | None = None) -> Future[Evaluation]:
        """A future of one evaluation; blocks while too many requests wait.

        ``within_s`` bounds waiting and judging together. The future raises TooLate once that has passed (a judge
        finishes what it has begun), and HarnessError where the harness failed.
        """
        check_request(task, [source])
        request = Request(task=task, source=source, deadline=None if within_s is None else time.monotonic() + within_s)
        self._requests.put(request, timeout_s=within_s)
        if within_s is not None:
            timer = threading.Timer(within_s, self._expire, args=(request, within_s))
            timer.daemon = True
            timer.start()
            request.verdict.add_done_callback(lambda _: timer.cancel())
        return request.verdict

    def evaluate(
        self, task: Task, sources: Sequence[str | None], *, within_s: float | None = None
    ) -> Iterator[Evaluation]:
        """One evaluation for each source, in order, as ``Evaluator.evaluate``."""
        check_request(task, sources)
        for verdict in [self.submit(task, source, within_s=within_s) for source in sources]:
            yield verdict.result()

    def as_completed(
        self, task: Task, sources: Sequence[str | None], *, within_s: float | None = None
    ) -> Iterator[tuple[int, Evaluation]]:
        """Index and evaluation of each source, the first that is ready first."""
        check_request(task, sources)
        index_of = {self.submit(task, source, within_s=within_s): index for index, source in enumerate(sources)}
        while index_of:
            for verdict in wait(index_of, return_when=FIRST_COMPLETED).done:
                yield index_of.pop(verdict), verdict.result()

    async def evaluate_async(
        self, task: Task, sources: Sequence[str | None], *, within_s: float | None = None
    ) -> AsyncIterator[tuple[int, Evaluation]]:
        """As ``as_completed``, for an event loop: waiting for room or for a verdict does not block it."""
        async for index, answer in self.answers_async(task, sources, within_s=within_s):
            if isinstance(answer, HarnessError):
                raise answer
            yield index, answer

    async def answers_async(
        self, task: Task, sources: Sequence[str | None], *, within_s: float | None = None
    ) -> AsyncIterator[tuple[int, Evaluation | HarnessError]]:
        """As ``evaluate_async``, but where the harness fails on a source, its error is what comes for it."""
        check_request(task, sources)

        async def one(index: int, source: str | None) -> tuple[int, Evaluation | HarnessError]:
            try:
                verdict = await asyncio.to_thread(self.submit, task, source, within_s=within_s)
                return index, await asyncio.wrap_future(verdict)
            except HarnessError as error:
                return index, error

        waiting = [asyncio.ensure_future(one(index, source)) for index, source in enumerate(sources)]
        try:
            for next_one in asyncio.as_completed(waiting):
                yield await next_one
        finally:
            for each in waiting:
                each.cancel()

    def close(self) -> None:
        """End all judges; futures that have no verdict raise HarnessError."""
        self._closed = True
        for request in self._requests.close():
            _fail(request, HarnessError(f"{request.task.id}: the pool was closed before this candidate was judged"))
        for judge in self._judges:
            judge.close()
        for thread in self._threads:
            thread.join()

    def _expire(self, request: Request, within_s: float) -> None:
        _fail(request, TooLate(f"{request.task.id}: no verdict within {within_s:g} s; allow more or ask for less"))

    def _serve(self, judge: Evaluator) -> None:
        last_task: str | None = None
        while not self._closed:
            try:
                # Before requests are taken: where a cluster has lost a node, a judge may wait long for a place.
                judge.start()
            except HarnessError:
                time.sleep(BETWEEN_STARTS_S)
                continue
            if not (batch := self._requests.take(last_task)):
                return
            last_task = batch[0].task.sha256
            self._judge_batch(judge, [request for request in batch if not request.verdict.done()])

    def _judge_batch(self, judge: Evaluator, batch: Sequence[Request]) -> None:
        if not batch:
            return
        answered = 0
        try:
            for evaluation in judge.evaluate(batch[0].task, [request.source for request in batch]):
                _answer(batch[answered], evaluation)
                answered += 1
        except JudgeEnded as error:
            for request in reversed(batch[answered:]):
                request.attempts += 1
                if request.attempts < ATTEMPTS:
                    self._requests.put_back(request)
                else:
                    _fail(request, error)
        except CandidateFault as fault:
            judged = {evaluation.source_sha256: evaluation for evaluation in fault.evaluations}
            for request in batch[answered:]:
                key = None if request.source is None else sha256_of(request.source)
                if key in judged:
                    _answer(request, judged[key])
                else:
                    _fail(request, fault.faults.get(key, fault))
        except HarnessError as error:
            for request in batch[answered:]:
                _fail(request, error)


def devices_named(devices: str | Sequence[str]) -> list[tuple[str, str | None]]:
    """``(device, gpu)`` of each judge. Raises UsageError for a device that is not there."""
    if isinstance(devices, str) and devices == "auto":
        gpus = visible_gpus(os.environ) if is_gpu(resolve_device("auto")) else []
        return [("cuda", gpu) for gpu in gpus] or [("cpu", None)]
    found: list[tuple[str, str | None]] = []
    for name in [devices] if isinstance(devices, str) else devices:
        kind, _, number = name.partition(":")
        if not number:
            found.append((kind, None))
            continue
        gpus = visible_gpus(os.environ) if is_gpu(kind) else []
        if not number.isdigit() or int(number) >= len(gpus):
            raise UsageError(f"devices: {name} is not there; visible are cpu and {len(gpus)} GPUs, cuda:0 the first")
        found.append((kind, gpus[int(number)]))
    if not found:
        raise UsageError('devices: none is named; give "auto", or a list such as ["cuda:0", "cuda:1"]')
    return found


def _answer(request: Request, evaluation: Evaluation) -> None:
    # The deadline may have passed, or the caller may have cancelled.
    with suppress(InvalidStateError):
        request.verdict.set_result(evaluation)


def _fail(request: Request, error: Exception) -> None:
    with suppress(InvalidStateError):
        request.verdict.set_exception(error)
