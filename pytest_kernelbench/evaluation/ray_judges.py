"""Judges as actors of a Ray cluster, for ``EvaluatorPool(ray=...)``. Needs the extra ``ray``.

Ray places an actor with one GPU (or one CPU) on some node; the actor starts an ``Evaluator`` there, which is its own
judge and trusts its own host as ever. Between pool and actor go sources and verdicts, by Ray's own means: whoever can
join the cluster is trusted by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray.exceptions import RayActorError, WorkerCrashedError

from pytest_kernelbench.errors import JudgeEnded, UsageError
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.evaluator import Evaluator
from pytest_kernelbench.records import Evaluation, Task


class Judge:
    """The actor's side: one evaluator, started with the actor."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._evaluator = Evaluator(**settings)

    def evaluate(self, task: Task, sources: list[str | None]) -> Iterator[dict[str, Any]]:
        """Evaluations as rows, in order, each sent as it is ready."""
        for evaluation in self._evaluator.evaluate(task, sources):
            yield evaluation.to_json()


class RayJudge:
    """The pool's side: as an ``Evaluator``, on whatever node Ray finds room. An actor that died is replaced."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._actor: Any = None

    def start(self) -> None:
        """Wait until Ray has found a place for the actor. Raises JudgeEnded where the actor died first."""
        if self._actor is None:
            on_gpu = is_gpu(self._settings["device"])
            placed = {"num_gpus": 1} if on_gpu else {"num_cpus": 1}
            self._actor = ray.remote(Judge).options(**placed).remote(self._settings)
            try:
                ray.get(self._actor.__ray_ready__.remote())
            except RayActorError as error:
                raise self._ended(error) from None

    def evaluate(self, task: Task, sources: Sequence[str | None]) -> Iterator[Evaluation]:
        """As ``Evaluator.evaluate``. Raises JudgeEnded when the actor or its node died."""
        self.start()
        try:
            for row in self._actor.evaluate.options(num_returns="streaming").remote(task, list(sources)):
                yield Evaluation.from_json(ray.get(row))
        except (RayActorError, WorkerCrashedError) as error:
            raise self._ended(error) from None

    def _ended(self, error: Exception) -> JudgeEnded:
        self._actor = None
        said = str(error).strip().splitlines()
        return JudgeEnded(f"a judge of the Ray cluster ended ({said[0] if said else 'no reason given'})")

    def close(self) -> None:
        """End the actor, also one that waits for its place."""
        if self._actor is not None:
            ray.kill(self._actor)
            self._actor = None


def connect(address: str) -> None:
    """Join a cluster, unless this process is in one. ``auto`` is the one of this machine, or of ``RAY_ADDRESS``.

    Raises UsageError where there is none.
    """
    if ray.is_initialized():
        return
    try:
        ray.init(address=address, log_to_driver=False)
    except ConnectionError as error:
        raise UsageError(f"ray={address}: no such cluster ({error}); start one with: ray start --head") from None


def devices_of_cluster() -> list[tuple[str, str | None]]:
    """One judge for each GPU of the cluster, or for each CPU where it has none."""
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    return [("cuda", None)] * gpus or [("cpu", None)] * int(resources.get("CPU", 0))
