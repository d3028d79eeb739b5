"""Judges as actors of a Ray cluster, for ``EvaluatorPool(ray=...)``. Needs the extra ``ray``.

Ray places an actor with one GPU (or one CPU) on some node, and the actor starts an ``Evaluator`` there. Sources and
verdicts travel between pool and actor by Ray's own means, which trust everybody who can join the cluster.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from pytest_kernelbench.errors import JudgeEnded, KernelBenchError, UsageError, unforeseen
from pytest_kernelbench.evaluation.clock.gates import Comparison, Gate
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.device.traits import DEVICES
from pytest_kernelbench.evaluation.judges.asked import named_devices
from pytest_kernelbench.evaluation.judges.comparing import Comparing
from pytest_kernelbench.evaluation.judges.evaluator import Evaluator
from pytest_kernelbench.evaluation.judges.known_tasks import KnownTasks
from pytest_kernelbench.records import Evaluation, Task

KNOCK_TIMEOUT_S = 10.0


class Judge:
    """The actor's side: one evaluator."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._evaluator = Evaluator(**settings)

    def start(self) -> str:
        """Start the evaluator's process where it does not run. Returns the kind of its hardware."""
        self._evaluator.start()
        return self._evaluator.hardware

    def evaluate(
        self, task: Task, sources: list[str | None], known: Mapping[str, Any] | None
    ) -> Iterator[dict[str, Any]]:
        """Evaluations as rows, in order, each sent when it is ready, with what is known of the task by then.

        ``known``: the row that the pool has of the task, from other judges.
        """
        here = self._evaluator
        if known is not None:
            here.known.keep(here.hardware, task.sha256, known)
        for evaluation in here.evaluate(task, sources):
            yield {"evaluation": evaluation.to_json(), "known": here.known.of(here.hardware, task.sha256)}

    def compared(self, task: Task, source: str, baseline_source: str, gate: Gate) -> dict[str, Any]:
        """A comparison as a row."""
        return self._evaluator.compared(task, source, baseline_source, gate).to_json()


class RayJudge(Comparing):
    """The pool's side: as an ``Evaluator``, on whatever node Ray finds room. An actor that died is replaced.

    Raises UsageError for settings that no ``Evaluator`` takes, before any node is asked.
    """

    def __init__(self, **settings: Any) -> None:
        # An actor whose constructor fails looks like one that died, and would be started again for ever.
        Evaluator(**{**settings, "device": "cpu"})
        self._settings = settings
        self.known = KnownTasks()
        self._hardware = ""
        self._actor: Any = None
        self._closed = False

    def start(self) -> None:
        """Wait until Ray has found a place for the actor, and the evaluator's process there has started.

        Called before requests are handed over: a request is tried twice, and a judge that dies while it starts must not
        count as one of these attempts. Raises HarnessError where actor or process ended first.
        """
        if self._actor is None:
            on_gpu = is_gpu(self._settings["device"])
            placed = {"num_gpus": 1} if on_gpu else {"num_cpus": 1}
            self._actor = ray.remote(Judge).options(**placed).remote(self._settings)
            if self._closed:
                self.close()
                raise JudgeEnded("the pool was closed while a judge of it started")
        # Read once: ``close``, which another thread may call, sets it to None.
        if (actor := self._actor) is not None:
            with self._as_here("the start of a judge"):
                self._hardware = ray.get(actor.start.remote())

    def evaluate(self, task: Task, sources: Sequence[str | None]) -> Iterator[Evaluation]:
        """As ``Evaluator.evaluate``, after ``start``. Raises JudgeEnded when actor, node or what was sent is lost."""
        actor = self._started_actor
        with self._as_here(task.id):
            known = self.known.of(self._hardware, task.sha256)
            for sent in actor.evaluate.options(num_returns="streaming").remote(task, list(sources), known):
                row = ray.get(sent)
                if row["known"] is not None:
                    self.known.keep(self._hardware, task.sha256, row["known"])
                yield Evaluation.from_json(row["evaluation"])

    def compared(self, task: Task, source: str, baseline_source: str, gate: Gate) -> Comparison:
        """See ``Comparing``; after ``start``. Raises JudgeEnded when actor, node or what was sent is lost."""
        actor = self._started_actor
        with self._as_here(task.id):
            return Comparison.from_json(ray.get(actor.compared.remote(task, source, baseline_source, gate)))

    @property
    def _started_actor(self) -> Any:
        if (actor := self._actor) is None:
            raise JudgeEnded("a judge of the Ray cluster does not run; call start() first")
        return actor

    @contextmanager
    def _as_here(self, place: str) -> Iterator[None]:
        """Raises errors of the actor's code as they are, and the loss of an actor, a node or data as JudgeEnded."""
        try:
            yield
        except RayTaskError as error:
            # The actor's own error, without Ray's traceback.
            if isinstance(error.cause, KernelBenchError):
                raise error.cause from None
            raise unforeseen(place, error.cause, error.traceback_str) from None
        except RayError as error:
            raise self._ended(error) from None

    def _ended(self, error: Exception) -> JudgeEnded:
        self._actor = None
        said = str(error).strip().splitlines()
        return JudgeEnded(f"a judge of the Ray cluster ended ({said[0] if said else 'no reason given'})")

    def close(self) -> None:
        """End the actor, also one that waits for its place."""
        self._closed = True
        if (actor := self._actor) is not None:
            ray.kill(actor)
            self._actor = None


def connect(address: str, option: str = "ray") -> None:
    """Join a cluster, unless this process is in one. ``auto`` is the one of this machine, or of ``RAY_ADDRESS``.

    Raises UsageError, which names ``option``, where there is none.
    """
    if ray.is_initialized():
        return
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False)
    except (OSError, ValueError) as error:  # ValueError: an address that Ray does not understand
        # Of Ray's advice, which is about its own options, the first sentence.
        said = re.split(r"\.\s", str(error).strip())[0] or "no reason given"
        raise UsageError(f"{option}={address}: no such cluster ({said}); start one with: ray start --head") from None


def _knock(address: str) -> None:
    """Raise OSError if nothing answers at ``HOST:PORT``, and ValueError if that is no port.

    Ray would try for 80 s, and then end this process.
    """
    host, colon, port = address.rpartition(":")
    if not (colon and port.isascii() and port.isdigit()) or "/" in host:
        return
    if len(port) > 5 or not 0 < int(port) < 1 << 16:
        raise ValueError(f"{port} is no port")
    socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_TIMEOUT_S).close()


def devices_named(devices: str | Sequence[str]) -> list[tuple[str, str | None]]:
    """``(kind, None)`` of each judge; "auto": one for each GPU of the cluster, or for each CPU where it has none.

    Ray chooses the node and the GPU. Raises UsageError for anything but kinds, and where the cluster has neither.
    """
    if devices == "auto":
        resources = ray.cluster_resources()
        kinds = ["cuda"] * int(resources.get("GPU", 0)) or ["cpu"] * int(resources.get("CPU", 0))
        if not kinds:
            raise UsageError('devices="auto": the Ray cluster has no GPU and no CPU yet; add a node, or name the kinds')
    else:
        kinds = named_devices(devices, example='["cuda", "cuda"]')
    for kind in kinds:
        if kind not in DEVICES:
            raise UsageError(f"devices: {kind!r} is no kind of device of a Ray cluster; there are {', '.join(DEVICES)}")
    return [(kind, None) for kind in kinds]
