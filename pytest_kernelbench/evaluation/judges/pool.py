"""Several judges behind one queue, one for each device: a trainer's reward function, or a service, asks the pool."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from queue import SimpleQueue
from typing import Any

from pytest_kernelbench.errors import HarnessError, KernelBenchError, UsageError
from pytest_kernelbench.evaluation.clock.gates import Comparison, Gate
from pytest_kernelbench.evaluation.device.names import is_gpu, resolve_device
from pytest_kernelbench.evaluation.judges.asked import check_request, named_devices
from pytest_kernelbench.evaluation.judges.closing import Closing
from pytest_kernelbench.evaluation.judges.evaluator import Evaluator
from pytest_kernelbench.evaluation.judges.judging import Judge, Judging, Standing, fail
from pytest_kernelbench.evaluation.judges.known_tasks import KnownTasks
from pytest_kernelbench.evaluation.judges.requests import WAITING_PER_JUDGE, Deadlines, Request, Requests
from pytest_kernelbench.host.gpus import visible_gpus
from pytest_kernelbench.records import Evaluation, Task


class EvaluatorPool(Closing):
    """Judges candidates on several devices at once; every method may be called from any thread.

    ``devices`` names one judge each: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` (the second visible GPU), or ``"auto"`` for
    all visible GPUs, and one CPU judge where there is none. With ``ray`` ("auto", or the address of a cluster) judges
    are actors of a Ray cluster, one for each of its GPUs, and ``devices`` is "auto" or as many kinds as judges
    (``["cpu"] * 4``). Judges of one device take turns on its lock. Other ``settings`` go to each ``Evaluator``
    (``protocol``, ``precision``, ``cache``, ...). A judge that dies is replaced, and the candidate that it was judging
    is tried once more; its other candidates go to the next judge one at a time. With more than ``most_waiting``
    requests waiting (default: 32 a judge), ``submit`` blocks. If no judge starts, requests fail with the reason.

        with EvaluatorPool(devices="auto", protocol="fast") as pool:
            for index, evaluation in pool.as_completed(task, sources): ...
    """

    def __init__(
        self,
        *,
        devices: str | Sequence[str] = "auto",
        ray: str | None = None,
        most_waiting: int | None = None,
        evaluator: Callable[..., Judge] = Evaluator,
        **settings: object,
    ) -> None:
        if most_waiting is not None and most_waiting < 1:
            raise UsageError(
                f"most_waiting={most_waiting}: no request could wait; give 1 or more, or None for 32 a judge"
            )
        if ray is None:
            named = devices_named(devices)
        else:
            from pytest_kernelbench.evaluation.judges import ray_judges

            ray_judges.connect(ray)
            evaluator = ray_judges.RayJudge
            named = ray_judges.devices_named(devices)
        # Kind of the first judge's device.
        self.device = named[0][0]
        self._requests = Requests(most_waiting or WAITING_PER_JUDGE * len(named), judges=len(named))
        self._deadlines = Deadlines()
        self._standing = Standing()
        self._judges = [evaluator(device=device, gpu=gpu, keep_task=True, **settings) for device, gpu in named]
        known = KnownTasks()
        for judge in self._judges:
            # One judge's findings about a task spare the other judges, and their successors, the same work.
            judge.known = known
        self._judging = [
            Judging(judge, f"judge-{number}", self._requests, self._standing)
            for number, judge in enumerate(self._judges)
        ]
        for each in self._judging:
            each.begin()

    def __len__(self) -> int:
        """How many judges there are."""
        return len(self._judges)

    @property
    def ready(self) -> int:
        """How many judges have started and not died since."""
        return self._standing.ready

    def submit(self, task: Task, source: str | None, *, within_s: float | None = None) -> Future[Evaluation]:
        """A future of one evaluation; blocks while too many requests wait.

        ``within_s`` bounds waiting and judging together. The future raises TooLate once that has passed (a judge
        finishes what it has begun), and HarnessError where the harness failed.
        """
        check_request(task, [source])
        return self._submit(Request(task=task, source=source), within_s)

    def submit_comparison(
        self, task: Task, source: str, baseline_source: str, gate: Gate, *, within_s: float | None = None
    ) -> Future[Comparison]:
        """A future of what ``Evaluator.compare`` returns, for its ``max_slowdown``, ``sizes`` and ``seconds``."""
        check_request(task, [source, baseline_source])
        return self._submit(Request(task=task, source=source, comparison=(baseline_source, gate)), within_s)

    async def compare_async(self, task: Task, source: str, baseline_source: str, gate: Gate) -> Comparison:
        """As ``submit_comparison``, for an event loop."""
        check_request(task, [source, baseline_source])
        (verdict,) = self._verdicts([Request(task=task, source=source, comparison=(baseline_source, gate))], None)
        comparison: Comparison = await asyncio.wrap_future(verdict)
        return comparison

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
        """Index and verdict of each source as soon as there is one, also while later sources wait for room."""
        done: SimpleQueue[tuple[int, Future[Evaluation]]] = SimpleQueue()
        verdicts = self._verdicts_on(task, sources, within_s)
        for index, verdict in enumerate(verdicts):
            verdict.add_done_callback(lambda told, index=index: done.put((index, told)))
        try:
            for _ in sources:
                yield done.get()
        finally:
            # If the caller stops early, nothing more is judged for it.
            for verdict in verdicts:
                verdict.cancel()

    def _verdicts_on(
        self, task: Task, sources: Sequence[str | None], within_s: float | None
    ) -> list[Future[Evaluation]]:
        return self._verdicts([Request(task=task, source=source) for source in sources], within_s)

    def _verdicts(self, asked: Sequence[Request], within_s: float | None) -> list[Future[Any]]:
        """Futures of the verdicts. A thread queues the requests as room comes free, without cancelled ones."""
        if within_s is not None:
            until = time.monotonic() + within_s
            for request in asked:
                self._deadlines.watch(request, within_s, until=until)

        def put_all() -> None:
            for request in asked:
                try:
                    self._requests.put(request)
                except KernelBenchError as error:
                    fail(request, error)

        threading.Thread(target=put_all, name="submitting", daemon=True).start()
        return [request.verdict for request in asked]

    async def evaluate_async(
        self, task: Task, sources: Sequence[str | None], *, within_s: float | None = None
    ) -> AsyncIterator[tuple[int, Evaluation]]:
        """As ``as_completed``, for an event loop: waiting for room or for a verdict does not block it."""
        async for index, answer in self.answers_async(task, sources, within_s=within_s):
            if isinstance(answer, KernelBenchError):
                raise answer
            yield index, answer

    async def answers_async(
        self, task: Task, sources: Sequence[str | None], *, within_s: float | None = None
    ) -> AsyncGenerator[tuple[int, Evaluation | KernelBenchError], None]:
        """As ``evaluate_async``, but an error of the harness on one source is yielded as that source's answer.

        So is the UsageError for a source that is still waiting when the pool is closed.
        """
        check_request(task, sources)
        verdicts = self._verdicts_on(task, sources, within_s)

        async def one(index: int, verdict: Future[Evaluation]) -> tuple[int, Evaluation | KernelBenchError]:
            try:
                return index, await asyncio.wrap_future(verdict)
            except KernelBenchError as error:
                return index, error

        waiting = [asyncio.ensure_future(one(index, verdict)) for index, verdict in enumerate(verdicts)]
        try:
            for next_one in asyncio.as_completed(waiting):
                yield await next_one
        finally:
            for verdict, each in zip(verdicts, waiting, strict=True):
                verdict.cancel()
                each.cancel()

    def close(self) -> None:
        """End all judges; futures that have no verdict raise HarnessError."""
        self._deadlines.close()
        for request in self._requests.close():
            fail(request, HarnessError(f"{request.task.id}: the pool was closed before this candidate was judged"))
        for judge in self._judges:
            judge.close()
        for each in self._judging:
            each.join()


def devices_named(devices: str | Sequence[str]) -> list[tuple[str, str | None]]:
    """``(device, gpu)`` of each judge. Raises UsageError, which begins with ``devices``, for a missing device."""
    if isinstance(devices, str) and devices == "auto":
        gpus = visible_gpus(os.environ) if is_gpu(resolve_device("auto")) else []
        return [("cuda", gpu) for gpu in gpus] or [("cpu", None)]
    found: list[tuple[str, str | None]] = []
    for name in named_devices(devices, example='["cuda:0", "cuda:1"]'):
        kind, _, number = name.partition(":")
        if not number:
            found.append((resolve_device(kind, "devices"), None))
            continue
        gpus = visible_gpus(os.environ) if is_gpu(kind) else []
        if not number.isdigit() or int(number) >= len(gpus):
            raise UsageError(f"devices: {name} is not there; visible are cpu and {len(gpus)} GPUs, cuda:0 the first")
        found.append((kind, gpus[int(number)]))
    return found
