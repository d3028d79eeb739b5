"""What a ranking is, and what it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from pytest_kernelbench.errors import PolicyError
from pytest_kernelbench.records import Judged, Task
from pytest_kernelbench.strategy import SelectionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """``index`` of the candidate taken, or None; ``considered``: whose timing may be looked at, in order."""

    index: int | None
    considered: tuple[int, ...]


class Sees(Enum):
    """What a ranking may know of a correct candidate; the rest is hidden from it."""

    VERDICTS = "verdicts"
    LOGPROBS = "logprobs"
    TIMINGS = "timings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """A correct candidate as a ranking sees it: ``logprob`` (nats) and ``speedup`` only where it may."""

    task: str
    index: int
    logprob: float | None = None
    speedup: float | None = None


class Ranking(NamedTuple):
    """``order`` takes correct candidates and the run's seed and returns their indices, first choice first."""

    order: Callable[[Sequence[Visible], int], list[int]]
    sees: Sees


def visible(judged: Judged, sees: Sees, settings: SelectionSettings) -> Visible:
    """Raises PolicyError where the ranking goes by log-probabilities and the policy gave none."""
    return Visible(
        task=judged.candidate.task,
        index=judged.candidate.index,
        logprob=_logprob(judged, settings) if sees is Sees.LOGPROBS else None,
        speedup=judged.evaluation.counted_speedup if sees is Sees.TIMINGS else None,
    )


def _logprob(judged: Judged, settings: SelectionSettings) -> float:
    completion = judged.candidate.completion
    logprob = completion.mean_logprob if settings.logprob == "mean" else completion.sum_logprob
    if logprob is None:
        place = f"{Task(id=completion.task, source='').short_id} #{completion.index}"
        raise PolicyError(
            f"{place}: policy {completion.policy} gave no log-probabilities, which selection by "
            f'"{settings.by}" goes by; use a policy that gives them, or a strategy such as best-of-64'
        )
    return logprob
