"""One judge of a pool, in a thread: takes requests, answers them, and is started again when it has died."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import Protocol

from pytest_kernelbench.errors import CandidateFault, HarnessError, JudgeEnded, KernelBenchError, unforeseen
from pytest_kernelbench.evaluation.clock.gates import Comparison, Gate
from pytest_kernelbench.evaluation.judges.known_tasks import KnownTasks
from pytest_kernelbench.evaluation.judges.requests import Request, Requests
from pytest_kernelbench.records import Evaluation, Task, sha256_of

ATTEMPTS = 2
BETWEEN_STARTS_S = 1.0
# When the starts of every judge have failed so often in a row, waiting requests fail with the reason.
STARTS = 5


class Judge(Protocol):
    """One judge of a pool: an ``Evaluator``, or a ``RayJudge``, which is one on another node.

    ``known``: what judges of the pool have found out about tasks; the pool's judges share one.
    """

    known: KnownTasks

    def start(self) -> None:
        """Start its processes, unless they run. Raises HarnessError where they do not start."""

    def evaluate(self, task: Task, sources: Sequence[str | None]) -> Iterator[Evaluation]:
        """As ``Evaluator.evaluate``."""

    def compared(self, task: Task, source: str, baseline_source: str, gate: Gate) -> Comparison:
        """As ``Comparing.compared``."""

    def close(self) -> None:
        """End its processes; a thread that waits for an answer gets a HarnessError."""


class Standing:
    """Which judges of a pool are up, and how many times in a row each of the others failed to start."""

    def __init__(self) -> None:
        self._failed: dict[str, int] = {}
        self._up: set[str] = set()
        self._turn = threading.Lock()

    def add(self, name: str) -> None:
        """Count one more judge, which has not been started yet."""
        self._failed[name] = 0

    @property
    def ready(self) -> int:
        """How many judges have started and not died since."""
        return len(self._up)

    def up(self, name: str) -> None:
        """A judge has started."""
        with self._turn:
            self._up.add(name)
            self._failed[name] = 0

    def down(self, name: str) -> None:
        """A judge has died."""
        with self._turn:
            self._up.discard(name)

    def failed(self, name: str) -> bool:
        """A judge did not start. Returns whether none is up, and each has failed ``STARTS`` times in a row."""
        with self._turn:
            self._up.discard(name)
            self._failed[name] += 1
            return not self._up and all(times >= STARTS for times in self._failed.values())


class Judging:
    """The thread of one judge of a pool; ``name`` is the judge's in ``standing``, and unique there."""

    def __init__(self, judge: Judge, name: str, requests: Requests, standing: Standing) -> None:
        self._judge = judge
        self._name = name
        self._requests = requests
        self._standing = standing
        standing.add(name)
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def begin(self) -> None:
        """Start the judge, and answer requests until the queue is closed."""
        self._thread.start()

    def join(self) -> None:
        """Wait until the thread has ended, with its judge closed."""
        self._thread.join()
        # Once more: the thread may have started a process after the pool closed its judge.
        self._judge.close()

    def _serve(self) -> None:
        last_task: str | None = None
        while not self._requests.closed:
            # Before requests are taken: a judge of a cluster that has lost a node may wait long for a place.
            if not self._started():
                continue
            if not (batch := self._requests.take(last_task)):
                return
            last_task = batch[0].task.sha256
            if not self._started():
                # The judge died while it was idle, so no candidate is to blame.
                for request in reversed(batch):
                    self._put_back(request, JudgeEnded(f"{request.task.id}: the pool was closed"))
                continue
            try:
                self._judge_batch([request for request in batch if not request.verdict.done()])
            except JudgeEnded as error:
                self._standing.down(self._name)
                self._try_again(batch, error)

    def _started(self) -> bool:
        try:
            self._judge.start()
        except Exception as error:  # the system's too: a process that cannot be forked now may be forked later
            if self._standing.failed(self._name):
                self._give_up(error)
            if not self._requests.closed:
                time.sleep(BETWEEN_STARTS_S)
            return False
        self._standing.up(self._name)
        return True

    def _give_up(self, error: Exception) -> None:
        said = " ".join(str(error).split())
        if not isinstance(error, HarnessError):
            said = f"{type(error).__name__}: {said}"
        for request in self._requests.take_all():
            fail(request, JudgeEnded(f"{request.task.id}: no judge starts, each was tried {STARTS} times ({said})"))

    def _judge_batch(self, batch: Sequence[Request]) -> None:
        """Answer all requests. Raises JudgeEnded, which leaves some without an answer."""
        if not batch:
            return
        answered = 0
        try:
            for answer in self._answers(batch):
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
                    fail(request, fault.faults.get(key, fault))
        except KernelBenchError as error:
            for request in batch[answered:]:
                fail(request, error)
        except Exception as error:  # unforeseen: if the thread ended here, all callers would wait for ever
            told = unforeseen(batch[0].task.id, error)
            for request in batch[answered:]:
                fail(request, told)

    def _answers(self, batch: Sequence[Request]) -> Iterator[Evaluation | Comparison]:
        first = batch[0]
        if first.comparison is None:
            yield from self._judge.evaluate(first.task, [request.source for request in batch])
        elif first.source is not None:
            yield self._judge.compared(first.task, first.source, *first.comparison)

    def _try_again(self, batch: Sequence[Request], error: JudgeEnded) -> None:
        left = [request for request in batch if not request.verdict.done()]
        for request in left[:1]:
            # Candidates are tried in order: later ones of the batch had only been built, and lose no attempt.
            request.attempts += 1
            if request.attempts >= ATTEMPTS:
                fail(request, error)
        for request in reversed(left):
            request.alone = True
            self._put_back(request, error)

    def _put_back(self, request: Request, error: JudgeEnded) -> None:
        if not request.verdict.done() and not self._requests.put_back(request):
            fail(request, error)


def fail(request: Request, error: Exception) -> None:
    """Have a request's caller get an error, unless the deadline has passed or the caller has gone."""
    with suppress(InvalidStateError):
        request.verdict.set_exception(error)


def _answer(request: Request, evaluation: Evaluation | Comparison) -> None:
    with suppress(InvalidStateError):
        request.verdict.set_result(evaluation)
