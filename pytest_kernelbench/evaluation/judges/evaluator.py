"""The evaluator as a library: starts the processes, hands over sources, yields evaluations."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_kernelbench.errors import CandidateFault, HarnessError, UsageError
from pytest_kernelbench.evaluation.baselines import reference_as_candidate
from pytest_kernelbench.evaluation.clock.gates import Comparison, Gate
from pytest_kernelbench.evaluation.device.names import resolve_device
from pytest_kernelbench.evaluation.judges.asked import MAX_SOURCE_CHARACTERS, check_request, too_large, without_source
from pytest_kernelbench.evaluation.judges.caches import builds_folder
from pytest_kernelbench.evaluation.judges.closing import Closing
from pytest_kernelbench.evaluation.judges.comparing import Comparing
from pytest_kernelbench.evaluation.judges.judge_process import JudgeProcess
from pytest_kernelbench.evaluation.judges.known_tasks import MOST_TASKS, KnownTasks
from pytest_kernelbench.evaluation.judges.replayed import Replayed
from pytest_kernelbench.evaluation.protocols import protocol_named
from pytest_kernelbench.evaluation.recent import Recent
from pytest_kernelbench.records import AgainstBaseline, Evaluation, Task, sha256_of
from pytest_kernelbench.registries import PRECISIONS
from pytest_kernelbench.tasks import with_sizes
from pytest_kernelbench.tasks.findings import TaskFindings

# How often ``waiting`` is called.
SAY_EVERY_S = 1.0


class Evaluator(Comparing, Closing):
    """Judges candidates on one device; safe to call from several threads, one evaluation at a time.

    ``seed`` sets the weights of the models under trial; inputs come from secret seeds, drawn anew each time. With
    ``keep_task`` the judge keeps what it knows of a task, device memory included, until it is asked about another or
    told to ``release`` it: a caller that asks about one task several times waits less. ``gpu`` names the GPU as
    ``CUDA_VISIBLE_DEVICES`` does; by default it is the first visible one. Raises HarnessError when the harness fails,
    never because of a candidate.

        with Evaluator(device="cpu", protocol="fast") as evaluator:
            for evaluation in evaluator.evaluate(task, sources): ...
    """

    def __init__(
        self,
        *,
        device: str = "auto",
        protocol: str = "full",
        precision: str = "float32",
        torch_operators: str = "allowed",
        parameters: str = "any",
        seed: int = 0,
        cache: str | Path | None = None,
        keep_task: bool = False,
        gpu: str | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise UsageError(f'precision = "{precision}": no such precision; there are {", ".join(PRECISIONS)}')
        self.device = resolve_device(device)
        self.protocol = protocol_named(protocol)
        self.precision = precision
        self._torch_operators = torch_operators
        self._parameters = parameters
        self._seed = seed
        self._cache = Path(cache or builds_folder()).absolute()
        self._cache.mkdir(parents=True, exist_ok=True)
        self._keep_task = keep_task
        gpu = gpu or os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        self._judge = JudgeProcess(device=self.device, cache=self._cache, gpu=gpu)
        self._lock = threading.Lock()
        self._turn_of: int | None = None
        self._hello: dict[str, Any] = {}
        self._target: dict[str, Any] = {}
        # Whether a judge was asked anything yet. It warms up before its first answer, which takes seconds on a GPU.
        self.was_asked = False
        # Called about once a second by a thread that waits for the judge.
        self.waiting: Callable[[], None] | None = None
        # Guards the socket to the foreman: several threads may name sources to build.
        self._wishing = threading.Lock()
        # What the GPU ran at while candidates were timed; None before the first, and where it is not known.
        self.clocks: dict[str, Any] | None = None
        # Findings about the references of the latest tasks, by the task's id.
        self.findings: dict[str, TaskFindings] = Recent(MOST_TASKS)
        # Sent to a judge that replaces another; evaluators with the same settings may share it.
        self.known = KnownTasks()

    @property
    def margin(self) -> float:
        """A candidate is fast if the lower end of its interval exceeds 1 by this margin."""
        return self.protocol.margin(self.device)

    @property
    def hardware(self) -> str:
        """Kind of hardware, and version of torch, of the judge that started last; empty before the first."""
        found = self._hello.get("hardware", {})
        return " ".join(str(found[each]) for each in ("name", "torch") if each in found)

    @property
    def service(self) -> int | None:
        """Process number of the service, which is above all other processes; None where it does not run."""
        return self._judge.service

    def __enter__(self) -> Evaluator:
        self.start()
        return self

    def start(self) -> None:
        """Start the judge now instead of at the first request. Raises HarnessError where it does not start."""
        with self._turn():
            self._start()

    def describe(self) -> dict[str, Any]:
        """The hardware, which walls of the sandbox this machine grants, and the clocks seen while timing."""
        if not self._hello:
            with self._turn():
                self._start()
        return {"device": self.device, **self._hello, "clocks": self.clocks}

    def evaluate(self, task: Task, sources: Sequence[str | None]) -> Iterator[Evaluation]:
        """One evaluation for each source, in order, as each is ready; identical sources are tried once.

        Raises HarnessError; where it failed on some candidates only, CandidateFault once all others are judged.
        """
        check_request(task, sources)
        keys = [source if source is None else sha256_of(source) for source in sources]
        done: dict[str | None, Evaluation] = {None: without_source()}
        for source, key in zip(sources, keys, strict=True):
            if source is not None and len(source) > MAX_SOURCE_CHARACTERS:
                done[key] = too_large(source)
        asked = list(dict.fromkeys(source for source, key in zip(sources, keys, strict=True) if key not in done))
        if not asked:
            # Nothing to ask: a fault of the task would be read as the answer to the next question.
            yield from (done[key] for key in keys)
            return
        faults: dict[str | None, HarnessError] = {}
        told = 0
        with self._turn():
            self._start()
            if not self.was_asked:
                self._wish(task, asked)
            self._ask(asked, self._request(task))
            waiting = len(asked)
            try:
                # The last ones are yielded after other threads may ask: a caller may stop iterating early.
                while waiting:
                    if keys[told] in done:
                        yield done[keys[told]]
                        told += 1
                        continue
                    answer = self._answer(task)
                    waiting -= 1
                    self.clocks = answer["clocks"]
                    if "fault" in answer:
                        faults[answer["fault_on"]] = _fault(answer["fault"])
                    else:
                        evaluation = Evaluation.from_json(answer["evaluation"])
                        done[evaluation.source_sha256] = evaluation
            finally:
                if waiting:
                    # The caller stopped early: the rest of the answers must not be read as answers to the next call.
                    self._judge.end_judge()
        for number, key in enumerate(keys[told:], told):
            if key in faults:
                raise CandidateFault(faults, [done[later] for later in dict.fromkeys(keys[number:]) if later in done])
            yield done[key]

    def compared(self, task: Task, source: str, baseline_source: str, gate: Gate) -> Comparison:
        """See ``Comparing``."""
        return Comparison.from_json(self._asked(task, [source, baseline_source], gate=asdict(gate))["comparison"])

    def against(self, task: Task, source: str, baseline: str) -> AgainstBaseline:
        """How fast ``source`` is beside a baseline that ``evaluation.baselines`` names. Raises HarnessError."""
        sources = [source, reference_as_candidate(task, baseline)]
        return AgainstBaseline.from_json(self._asked(task, sources, against=baseline)["against"])

    def replay(self, task: Task, source: str, draw: str) -> Replayed:
        """What ``source`` answers to new inputs of the kind ``draw`` (``Evaluation.draw``), and where it is wrong.

        Raises HarnessError, also where the reference is not defined on that kind.
        """
        check_request(task, [source])
        return Replayed.from_json(self._asked(task, [source], replay=draw)["replayed"])

    def prepare(self, task: Task, sources: Sequence[str | None]) -> None:
        """Begin to build, side by side, what candidates need that will be evaluated later; returns at once.

        What fails is not said here: ``evaluate`` meets it again. May be called while another thread evaluates.
        """
        check_request(task, sources)
        if not self._target:
            with self._turn():
                self._start()
        self._wish(task, dict.fromkeys(sources))

    def look_at(self, task: Task) -> TaskFindings:
        """What the task's reference does, before any candidate is judged by it; ``refused`` where none can be.

        Raises HarnessError where the judge ends over it.
        """
        with self._turn():
            self._start()
            self._ask((), {**self._request(task), "look": True})
            try:
                self._answer(task)
            except HarnessError:
                found = self.findings.get(task.id)
                if found is None or found.refused is None:
                    raise
        return self.findings[task.id]

    def make_ready(self, task: Task) -> None:
        """Have the judge do what it needs before the first candidate of ``task``, which may not be there yet.

        It never calls ``waiting``, since the calling thread may not be the one that shows progress. Raises
        HarnessError, also where no candidate can be judged by the task's reference; ``evaluate`` raises it again.
        """
        with self._turn():
            self._start()
            self._ask((), {**self._request(task), "make_ready": True})
            self._told(self._judge.receive(), task)

    def release(self) -> None:
        """Have the judge give back the device memory that it keeps for a task."""
        if self._keep_task and self._judge.started:
            with self._turn():
                self._judge.send({"release": True})
                self._answer()

    def close(self) -> None:
        """End the judge and every worker; a thread that still waits for an evaluation gets a HarnessError."""
        if self._lock.acquire(blocking=False):
            try:
                self._judge.close()
            finally:
                self._lock.release()
        else:
            # Held by another thread, or by an iterator left half way, which tidies up when it ends.
            self._judge.interrupt()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._turn_of == threading.get_ident():
            raise UsageError(
                "Evaluator.evaluate: this thread left an earlier iterator half way; exhaust it or close() it first"
            )
        with self._lock:
            self._turn_of = threading.get_ident()
            try:
                yield
            finally:
                self._turn_of = None

    def _start(self) -> None:
        hello = self._judge.start()
        if hello is not None:
            self._target = hello.pop("target")
            self._hello = hello

    def _wish(self, task: Task, sources: Iterable[str | None]) -> None:
        wish = {"cache": str(self._cache), "task_source": with_sizes(task.source, task.sizes), "target": self._target}
        with self._wishing:
            for source in sources:
                if source is not None and len(source) <= MAX_SOURCE_CHARACTERS:
                    self._judge.wish({**wish, "source": source})

    def _request(self, task: Task) -> dict[str, Any]:
        case = {
            "task": task.id,
            "source": with_sizes(task.source, task.sizes),
            "protocol": self.protocol.name,
            "precision": self.precision,
            "torch_operators": self._torch_operators,
            "parameters": self._parameters,
            "seed": self._seed,
            "cache": str(self._cache),
        }
        return {"case": case, "keep": self._keep_task, "known": self.known.of(self.hardware, task.sha256)}

    def _asked(self, task: Task, sources: Sequence[str], **what: Any) -> dict[str, Any]:
        with self._turn():
            self._start()
            self._ask(sources, {**self._request(task), **what})
            return self._answer()

    def _ask(self, sources: Sequence[str], request: dict[str, Any]) -> None:
        self.was_asked = True
        self._judge.send({**request, "n_sources": len(sources)})
        for source in sources:
            self._judge.send({"source": source})

    def _answer(self, task: Task | None = None) -> dict[str, Any]:
        while self.waiting and not self._judge.is_readable(SAY_EVERY_S):
            self.waiting()
        return self._told(self._judge.receive(), task)

    def _told(self, answer: dict[str, Any], task: Task | None) -> dict[str, Any]:
        """The judge's ``answer``, once its findings are kept. Raises HarnessError where it is a fault of the task."""
        if task is not None and "findings" in answer:
            if "known" in answer:
                self.known.keep(self.hardware, task.sha256, answer["known"])
            found = TaskFindings.from_json({**answer["findings"], "task_sha256": task.sha256})
            self.findings[task.id] = found
        if "fault" in answer and "fault_on" not in answer:
            raise _fault(answer["fault"])
        return answer


def _fault(told: Mapping[str, str]) -> HarnessError:
    return HarnessError(told["message"], traceback=told["traceback"])
