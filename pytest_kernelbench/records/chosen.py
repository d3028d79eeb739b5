"""What a strategy chose, what the policy forecast before it, and the steps of adaptation on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_kernelbench.records.rows import fields_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What one strategy chose for one task: one line of ``selections.jsonl``.

    ``index`` is None when no candidate could be chosen. ``considered`` are the indices whose timing the
    strategy was allowed to look at, ``unranked`` those of correct candidates without a log-probability, where the
    strategy goes by it; ``cost`` is what the choice took, by kind. ``confirmed_*`` come from
    timing the chosen candidate again on fresh inputs, and ``fast`` is decided on them alone.

    Under adaptation ``policy_version`` and ``step`` are those of the chosen candidate, and ``checkpoint_step``
    is the step whose weights the strategy settled on; None where the candidates of every step counted.

    Of a strategy that stops by itself, ``asked`` is how many candidates it asked for, the first so many, and
    ``stopped`` why it asked for no more. ``unread``: why a forecast that the strategy goes by was none.
    """

    task: str
    strategy: str
    index: int | None
    considered: tuple[int, ...]
    unranked: tuple[int, ...] = ()
    cost: Mapping[str, float | None]
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    confirmed_speedup: float | None = None
    confirmed_low: float | None = None
    confirmed_high: float | None = None
    fast: bool = False
    fast_raw: bool = False
    policy_version: str | None = None
    step: int | None = None
    checkpoint_step: int | None = None
    asked: int | None = None
    stopped: str | None = None
    unread: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Selection:
        return cls(**fields_of(cls, row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a policy said when it was asked which of its correct programs is the fastest: a line of ``forecasts.jsonl``.

    ``asked_sha256`` is the hash of the question and of what the candidates were drawn from. ``shown`` are the indices
    of the candidates that stood in the question, in that order, and ``named`` the one that the answer names; None where
    it names none, or could not be asked, ``missing`` says why. ``tokens`` are those of prompt and answer.
    """

    task: str
    asked_sha256: str
    shown: tuple[int, ...]
    named: int | None = None
    missing: str | None = None
    text: str | None = None
    tokens: int | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Forecast:
        return cls(**fields_of(cls, row))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptationStep:
    """One version of the weights, how it was made and how it did: one line of ``adaptation.jsonl``.

    The docstring of ``pytest_kernelbench.adaptation`` says what each field holds.
    """

    lineage: str
    adaptation_sha256: str
    group: tuple[str, ...]
    step: int
    policy_version: str | None = None
    sampling_sha256: str | None = None
    first_index: int
    rollouts: int
    holdout: int = 0
    checkpoint: str | None = None
    trained_on: tuple[str, ...] = ()
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    entropy: float | None = None
    kl: float | None = None
    update: Mapping[str, float] | None = None
    stopped: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> AdaptationStep:
        return cls(**fields_of(cls, row))
