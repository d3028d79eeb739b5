"""What a ranking is, and what it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from pytest_kernelbench.records import Judged
from pytest_kernelbench.strategy import SelectionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """``index`` of the candidate taken, or None; ``considered``: whose timing may be looked at, in order.

    ``unranked`` are correct candidates whose log-probability is needed and not known.
    """

    index: int | None
    considered: tuple[int, ...]
    unranked: tuple[int, ...] = ()


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

    @property
    def needs_logprobs(self) -> bool:
        """Whether a candidate without a log-probability cannot be ranked."""
        return self.sees is Sees.LOGPROBS


def visible(judged: Judged, sees: Sees, settings: SelectionSettings) -> Visible:
    """What a ranking may know of a candidate, its log-probability over the strategy's span."""
    return Visible(
        task=judged.candidate.task,
        index=judged.candidate.index,
        logprob=logprob_of(judged, settings) if sees is Sees.LOGPROBS else None,
        speedup=judged.evaluation.counted_speedup if sees is Sees.TIMINGS else None,
    )


def logprob_of(judged: Judged, settings: SelectionSettings) -> float | None:
    """Nats, or nats a token, over the strategy's span; None where they are not known."""
    return judged.candidate.completion.score(settings.span, settings.logprob)
