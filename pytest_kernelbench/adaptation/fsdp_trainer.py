"""Training a model that is sharded over several GPUs: this trainer sends each call to the processes of its policy.

Each process has the whole adapter with its optimizer, and its share of the frozen weights. Micro-batches are dealt out
among the processes and gradients are added up, so that a step equals the step of a single process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from pytest_kernelbench.adaptation.answering import Answering
from pytest_kernelbench.adaptation.trainer import TrainingRow
from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.policies.sharded import ShardedPolicy
from pytest_kernelbench.strategy import Adaptation


class FsdpTrainer(Answering):
    """Implements ``Trainer``. Each process of the policy has a ``PeftTrainer``, which does the work."""

    policy: ShardedPolicy

    def __init__(
        self, policy: ShardedPolicy, *, settings: Adaptation, temperature: float, max_tokens: int, seed: int
    ) -> None:
        """Raise PolicyError for a setting that a sharded model does not support, before anything is sampled."""
        super().__init__(policy)
        if settings.sdpo.distil == "distribution":
            self._refuse(
                "sdpo", 'distil = "distribution" needs whole distributions, and shards send none', 'distil = "drawn"'
            )
        if settings.lora.experts or settings.lora.parameters:
            self._refuse("lora", "experts are spread over processes and cannot be adapted", "experts = false")
        told = policy.ask(
            {
                **{"do": "train", "settings": settings.to_json(), "temperature": temperature},
                **{"max_tokens": max_tokens, "seed": seed},
            }
        )
        self.temperature: float = told["temperature"]
        self.scores_exactly: bool = told["scores_exactly"]
        self.described: Mapping[str, Any] = told["described"]
        self.loaded_version: str = told["loaded_version"]
        self.holds: int | None = 0

    def use_loaded(self) -> None:
        self.policy.ask({"do": "use", "version": None})
        self.policy.version = self.loaded_version

    def use_adapted(self, version: str) -> None:
        self.policy.ask({"do": "use", "version": version})
        self.policy.version = version

    @contextmanager
    def as_loaded(self) -> Iterator[None]:
        with self._borrowed(None, 0.0):
            yield

    @contextmanager
    def as_average(self, folders: Sequence[Path], *, rate: float) -> Iterator[None]:
        with self._borrowed([str(each) for each in folders], rate):
            yield

    def update(self, rows: Sequence[TrainingRow], *, step: int) -> dict[str, float] | None:
        self.holds = None
        summary: dict[str, float] | None = self.policy.ask(
            {"do": "update", "rows": [_plain(each) for each in rows], "step": step}
        )
        return summary

    def save(self, folder: Path, update: Mapping[str, float]) -> None:
        self.policy.ask({"do": "save", "folder": str(folder), "update": dict(update)})

    def load(self, folder: Path | None, *, step: int) -> None:
        self.policy.ask({"do": "load", "folder": str(folder) if folder else None, "step": step})
        self.holds = step

    def close(self) -> None:
        self.policy.ask({"do": "stop training"})
        self.policy.version = self.loaded_version

    @contextmanager
    def _borrowed(self, folders: Sequence[str] | None, rate: float) -> Iterator[None]:
        self.policy.ask({"do": "borrow", "folders": folders, "rate": rate})
        try:
            yield
        finally:
            self.policy.ask({"do": "give back"})

    def _refuse(self, section: str, why: str, remedy: str) -> NoReturn:
        raise PolicyError(f"--policy={self.policy.name}: [adaptation.{section}] {why}; set {remedy}")


def _plain(row: TrainingRow) -> dict[str, Any]:
    names = ("prompt_ids", "token_ids", "behaviour", "advantages", "reference")
    return {name: getattr(row, name) for name in names}
