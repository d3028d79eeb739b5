"""The protocol that the loop trains through: weights that sample, score, take an update and are saved.

Three classes implement it: ``peft_trainer`` (a model in this process), ``fsdp_trainer`` (a model that is sharded over
several GPUs) and ``tinker_trainer`` (a service).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pytest_kernelbench.records import Completion, Task

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_kernelbench.strategy import Sampling


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """``tokens``: (T, k) ids, k in the place of each token of a rollout. ``logprobs``: (T, k), the teacher's."""

    tokens: Tensor
    logprobs: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """One rollout to learn from.

    ``behaviour``: its tokens' log-probabilities under the weights that drew it. ``reference``: the same under the
    policy as loaded; None: there is no penalty on divergence. Both are at the loss's temperature. ``advantages``: one a
    token. ``lesson``: a teacher's distributions, which take the advantages' place in the loss.
    """

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    behaviour: tuple[float, ...]
    advantages: tuple[float, ...]
    reference: tuple[float, ...] | None = None
    lesson: Lesson | None = None


class Trainer(Protocol):
    """A policy whose weights move; ``sample``, ``name`` and ``version`` are as in ``policies.base.Policy``.

    ``loaded_version`` is the version of the policy as loaded. ``temperature`` is the loss's. ``scores_exactly`` says
    whether a token that is scored again has the log-probability that it was drawn with, to 1e-4 nats. ``holds`` is the
    number of the step whose weights it has; None: an update may have left other weights. ``described`` is for
    ``run.json`` and the terminal, before the first step: the number of parameters that are trained, and their bytes.

    A constructor raises PolicyError where the settings ask for something that this trainer does not support.
    """

    name: str
    version: str
    label: str | None
    gives_logprobs: bool
    loaded_version: str
    temperature: float
    scores_exactly: bool
    holds: int | None
    described: Mapping[str, object]

    def sample(self, task: Task, sampling: Sampling, *, seed: int, indices: Sequence[int]) -> Iterator[Completion]:
        """See ``Policy.sample``: with the weights in use."""
        ...

    def prompt_ids(self, task: Task, answer: str, *, advice: str = "") -> list[int]:
        """Token ids of the prompt; ``advice`` is text that a teacher gets to read after the question."""
        ...

    def score(
        self,
        task: Task,
        answer: str,
        token_ids: Sequence[Sequence[int]],
        *,
        temperature: float = 1.0,
        advice: str = "",
    ) -> list[tuple[float, ...]]:
        """Log-probabilities (nats) at ``temperature`` of each completion's tokens, under the weights in use."""
        ...

    def likeliest(self, task: Task, answer: str, token_ids: Sequence[Sequence[int]], k: int) -> list[Tensor]:
        """The ``k`` likeliest tokens in the place of each of a completion's: (tokens, k) ids, on the CPU."""
        ...

    def score_each(
        self,
        task: Task,
        answer: str,
        token_ids: Sequence[Sequence[int]],
        wanted: Sequence[Tensor],
        *,
        temperature: float = 1.0,
        advice: str = "",
    ) -> list[Tensor]:
        """Log-probabilities of ``wanted`` tokens, (tokens, k) ids for each completion, in the place of its own."""
        ...

    def use_loaded(self) -> None:
        """Sample and score with the policy as loaded."""
        ...

    def use_adapted(self, version: str) -> None:
        """Sample and score with the weights of the step that it holds, known as ``version``."""
        ...

    def as_loaded(self) -> AbstractContextManager[None]:
        """For the duration of a block, use the policy as loaded, as a teacher or as the reference of a penalty."""
        ...

    def as_average(self, folders: Sequence[Path], *, rate: float) -> AbstractContextManager[None]:
        """For the duration of a block, use the moving average of all steps, ``rate`` of the way to each in turn."""
        ...

    def update(self, rows: Sequence[TrainingRow], *, step: int) -> dict[str, float] | None:
        """Take the update that makes the weights of ``step``. Returns its ``update`` as ``adaptation.jsonl`` holds it.

        Returns None where loss or gradient is not finite: then the weights are as before.
        """
        ...

    def save(self, folder: Path, update: Mapping[str, float]) -> None:
        """Save weights, optimizer and ``update.json`` in ``folder``, completely or not at all. Raises HarnessError."""
        ...

    def load(self, folder: Path | None, *, step: int) -> None:
        """Load what ``save`` wrote to ``folder``; None for the weights of step 0. ``holds`` is ``step`` afterwards."""
        ...

    def close(self) -> None:
        """Leave the policy as it was."""
        ...
