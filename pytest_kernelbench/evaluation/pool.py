"""Several judges behind one queue, one for each device: a trainer's reward function, or a service, asks the pool."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import closing, suppress
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from pytest_kernelbench.errors import CandidateFault, HarnessError, JudgeEnded, KernelBenchError, UsageError
from pytest_kernelbench.evaluation.asked import check_request
from pytest_kernelbench.evaluation.clock.gates import Comparison
from pytest_kernelbench.evaluation.device.names import is_gpu, resolve_device
from pytest_kernelbench.evaluation.evaluator import Evaluator
from pytest_kernelbench.evaluation.known_tasks import KnownTasks
from pytest_kernelbench.evaluation.requests import WAITING_PER_JUDGE, Deadlines, Request, Requests
from pytest_kernelbench.host.gpus import visible_gpus
from pytest_kernelbench.records import Evaluation, Task, sha256_of

ATTEMPTS = 2
BETWEEN_STARTS_S = 1.0


class EvaluatorPool:
    """Judges candidates on several devices at once; every method may be called from any thread.

    ``devices`` names one judge each: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` (the second visible GPU), or ``"auto"`` for
    all visible GPUs, and one CPU judge where there is none. With ``ray`` ("auto", or the address of a cluster) judges
    are actors of a Ray cluster, one for each of its GPUs, and ``devices`` is "auto" or as many kinds as judges
    (``["cpu"] * 4``). Judges of one device take turns on its lock. What else ``settings`` holds goes to each
    ``Evaluator`` (``protocol``, ``precision``, ``cache``, ...). A judge that dies is replaced and its candidate tried
    once more; those that it was handed with it are handed to the next one at a time. With more than ``most_waiting``
    requests waiting (default: 32 a judge), ``submit`` blocks.

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
            named = ray_judges.devices_named(devices)
        # Kind of the judges' devices; the first one's where they differ.
        self.device = named[0][0]
        self._closed = False
        self._requests = Requests(most_waiting or WAITING_PER_JUDGE * len(named), judges=len(named))
        self._deadlines = Deadlines()
        self._ready: set[str] = set()
        self._judges = [evaluator(device=device, gpu=gpu, keep_task=True, **settings) for device, gpu in named]
        known = KnownTasks()
        for judge in self._judges:
            # What one has found out about a task, none of the others and no successor needs to find out.
            judge.known = known
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

    @property
    def ready(self) -> int:
        """How many judges have started and not died since."""
        return len(self._ready)

    def submit(self, task: Task, source: str | None, *, within_s: float | None = None) -> Future[Evaluation]:
        """A future of one evaluation; blocks while too many requests wait.

        ``within_s`` bounds waiting and judging together. The future raises TooLate once that has passed (a judge
        finishes what it has begun), and HarnessError where the harness failed.
        """
        check_request(task, [source])
        return self._submit(Request(task=task, source=source), within_s)

    def submit_comparison(
        self, task: Task, source: str, baseline_source: str, *, within_s: float | None = None, **how: float
    ) -> Future[Comparison]:
        """A future of what ``Evaluator.compare`` returns; ``how``: its ``max_slowdown``, ``sizes`` and ``seconds``."""
        check_request(task, [source, baseline_source])
        comparison = {"baseline_source": baseline_source, **how}
        return self._submit(Request(task=task, source=source, comparison=comparison), within_s)

    def _submit(self, request: Request, within_s: float | None) -> Future[Any]:
        until = None if within_s is None else time.monotonic() + within_s
        self._requests.put(request, timeout_s=within_s)
        if within_s is not None and until is not None:
            self._deadlines.watch(request, within_s, until=until)
        return request.verdict

    def evaluate(
        self, task: Task, sources: Sequence[str | None], *, within_s: float | None = None
    ) -> Iterator[Evaluation]:
        """One evaluation for each source, in order, as ``Evaluator.evaluate``."""
        check_request(task, sources)
        done: dict[int, Future[Evaluation]] = {}
        with closing(self._as_done(task, sources, within_s)) as answers:
            for index in range(len(sources)):
                while index not in done:
                    done.update([next(answers)])
                yield done.pop(index).result()

    def as_completed(
        self, task: Task, sources: Sequence[str | None], *, within_s: float | None = None
    ) -> Iterator[tuple[int, Evaluation]]:
        """Index and evaluation of each source, the first that is ready first."""
        check_request(task, sources)
        with closing(self._as_done(task, sources, within_s)) as answers:
            for index, verdict in answers:
                yield index, verdict.result()

    def _as_done(
        self, task: Task, sources: Sequence[str | None], within_s: float | None
    ) -> Generator[tuple[int, Future[Evaluation]], None, None]:
        """Index and verdict of each source once it is there, also while later ones wait for room."""
        done: SimpleQueue[tuple[int, Future[Evaluation]]] = SimpleQueue()
        submitted: list[Future[Evaluation]] = []
        left = threading.Event()

        def submit_all() -> None:
            for index, source in enumerate(sources):
                if left.is_set():
                    return
                try:
                    verdict = self.submit(task, source, within_s=within_s)
                except KernelBenchError as error:
                    verdict = Future()
                    verdict.set_exception(error)
                submitted.append(verdict)
                verdict.add_done_callback(lambda told, index=index: done.put((index, told)))

        threading.Thread(target=submit_all, name="submitting", daemon=True).start()
        try:
            for _ in sources:
                yield done.get()
        finally:
            # Whoever stops early has nothing more judged.
            left.set()
            for verdict in submitted:
                verdict.cancel()

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
        left = threading.Event()

        def submit(source: str | None) -> Future[Evaluation]:
            if left.is_set():
                return Future()
            verdict = self.submit(task, source, within_s=within_s)
            if left.is_set():
                # Whoever asked went away while this waited for room.
                verdict.cancel()
            return verdict

        async def one(index: int, source: str | None) -> tuple[int, Evaluation | HarnessError]:
            try:
                return index, await asyncio.wrap_future(await asyncio.to_thread(submit, source))
            except HarnessError as error:
                return index, error

        waiting = [asyncio.ensure_future(one(index, source)) for index, source in enumerate(sources)]
        try:
            for next_one in asyncio.as_completed(waiting):
                yield await next_one
        finally:
            left.set()
            for each in waiting:
                each.cancel()

    def close(self) -> None:
        """End all judges; futures that have no verdict raise HarnessError."""
        self._closed = True
        self._deadlines.close()
        for request in self._requests.close():
            _fail(request, HarnessError(f"{request.task.id}: the pool was closed before this candidate was judged"))
        for judge in self._judges:
            judge.close()
        for judge, thread in zip(self._judges, self._threads, strict=True):
            thread.join()
            # It may have been about to start a process.
            judge.close()

    def _serve(self, judge: Evaluator) -> None:
        name = threading.current_thread().name
        last_task: str | None = None
        while not self._closed:
            # Before requests are taken: where a cluster has lost a node, a judge may wait long for a place.
            if not self._started(judge, name):
                time.sleep(BETWEEN_STARTS_S)
                continue
            if not (batch := self._requests.take(last_task)):
                return
            last_task = batch[0].task.sha256
            if not self._started(judge, name):
                # It died while there was nothing to do, over no candidate.
                for request in reversed(batch):
                    self._put_back(request, JudgeEnded(f"{request.task.id}: the pool was closed"))
                continue
            try:
                self._judge_batch(judge, [request for request in batch if not request.verdict.done()])
            except JudgeEnded as error:
                self._ready.discard(name)
                self._try_again(batch, error)

    def _started(self, judge: Evaluator, name: str) -> bool:
        try:
            judge.start()
        except HarnessError:
            self._ready.discard(name)
            return False
        self._ready.add(name)
        return True

    def _judge_batch(self, judge: Evaluator, batch: Sequence[Request]) -> None:
        """Answer all requests. Raises JudgeEnded, which leaves some without an answer."""
        if not batch:
            return
        answered = 0
        try:
            for answer in _answers(judge, batch):
                _answer(batch[answered], answer)
                answered += 1
        except JudgeEnded:
            raise
        except CandidateFault as fault:
            judged = {evaluation.source_sha256: evaluation for evaluation in fault.evaluations}
            for request in batch[answered:]:
                key = None if request.source is None else sha256_of(request.source)
                if key in judged:
                    _answer(request, judged[key])
                else:
                    _fail(request, fault.faults.get(key, fault))
        except KernelBenchError as error:
            for request in batch[answered:]:
                _fail(request, error)
        except Exception as error:  # not foreseen: without an answer its callers, and all later ones, wait for ever
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            told = HarnessError(
                f"{batch[0].task.id}: the harness failed ({said[:300]}); please report this",
                traceback=traceback.format_exc(),
            )
            for request in batch[answered:]:
                _fail(request, told)

    def _try_again(self, batch: Sequence[Request], error: JudgeEnded) -> None:
        left = [request for request in batch if not request.verdict.done()]
        for request in left[:1]:
            # Candidates are tried in order. Those after it had been built at most: they lose no attempt.
            request.attempts += 1
            if request.attempts >= ATTEMPTS:
                _fail(request, error)
        for request in reversed(left):
            request.alone = True
            self._put_back(request, error)

    def _put_back(self, request: Request, error: JudgeEnded) -> None:
        if not request.verdict.done() and not self._requests.put_back(request):
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


def _answers(judge: Evaluator, batch: Sequence[Request]) -> Iterator[Evaluation | Comparison]:
    first = batch[0]
    if first.comparison is None:
        yield from judge.evaluate(first.task, [request.source for request in batch])
    elif first.source is not None:
        yield judge.compare(first.task, first.source, **first.comparison)


def _answer(request: Request, evaluation: Evaluation | Comparison) -> None:
    # The deadline may have passed, or the caller may have cancelled.
    with suppress(InvalidStateError):
        request.verdict.set_result(evaluation)


def _fail(request: Request, error: Exception) -> None:
    with suppress(InvalidStateError):
        request.verdict.set_exception(error)
