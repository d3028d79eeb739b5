"""The interface of a ranking, and the properties of candidates that it may see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from pytest_kernelbench.records import Judged
from pytest_kernelbench.strategy import SelectionSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """``index`` of the chosen candidate, or None; ``considered``: candidates whose timing may be used, in order.

    ``unranked`` are correct candidates without the number that the ranking needs. ``by_timing``: a timing decided
    between several, so that the chosen one's timing is too good by chance.
    """

    index: int | None
    considered: tuple[int, ...]
    unranked: tuple[int, ...] = ()
    by_timing: bool = False


class Sees(Enum):
    """The property of a correct candidate that a ranking may see; the others are hidden from it."""

    VERDICTS = "verdicts"
    LOGPROBS = "logprobs"
    SELF_CERTAINTY = "self-certainty"
    PROGRAMS = "programs"  # their sources, and log-probabilities
    FORECAST = "forecast"  # which of them the policy named, and log-probabilities
    TIMINGS = "timings"


# Rankings by log-probability, alone or to break ties.
NEEDS_LOGPROB = (Sees.LOGPROBS, Sees.PROGRAMS, Sees.FORECAST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """A correct candidate as a ranking sees it; hidden properties are None.

    ``logprob`` and ``self_certainty`` are in nats. ``named``: the policy named it as the fastest.
    """

    task: str
    index: int
    logprob: float | None = None
    self_certainty: float | None = None
    source: str | None = None
    named: bool | None = None
    speedup: float | None = None


class Ranking(NamedTuple):
    """``order`` takes correct candidates and the run's seed and returns their indices, first choice first."""

    order: Callable[[Sequence[Visible], int], list[int]]
    sees: Sees

    @property
    def needs_logprobs(self) -> bool:
        """Whether a candidate without a log-probability cannot be ranked."""
        return self.sees in NEEDS_LOGPROB

    @property
    def needs_self_certainty(self) -> bool:
        """Whether a candidate without a self-certainty cannot be ranked."""
        return self.sees is Sees.SELF_CERTAINTY


def visible(judged: Judged, sees: Sees, settings: SelectionSettings, named: int | None = None) -> Visible:
    """The candidate with the properties that ``sees`` allows; its log-probability is over the strategy's span."""
    return Visible(
        task=judged.candidate.task,
        index=judged.candidate.index,
        logprob=logprob_of(judged, settings) if sees in NEEDS_LOGPROB else None,
        self_certainty=judged.candidate.completion.self_certainty if sees is Sees.SELF_CERTAINTY else None,
        source=judged.candidate.source if sees is Sees.PROGRAMS else None,
        named=judged.candidate.index == named if sees is Sees.FORECAST else None,
        speedup=judged.evaluation.counted_speedup if sees is Sees.TIMINGS else None,
    )


def score_of(judged: Judged, sees: Sees, settings: SelectionSettings) -> float | None:
    """The number that a ranking cannot do without; None where it is not known. 0 for one that needs none."""
    if sees is Sees.SELF_CERTAINTY:
        return judged.candidate.completion.self_certainty
    return logprob_of(judged, settings) if sees in NEEDS_LOGPROB else 0.0


def logprob_of(judged: Judged, settings: SelectionSettings) -> float | None:
    """Nats, or nats a token, over the strategy's span; None where they are not known."""
    return judged.candidate.completion.score(settings.span, settings.logprob)
