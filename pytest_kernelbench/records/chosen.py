"""A strategy's choice, the policy's forecast before it, and the steps of adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_kernelbench.records.rows import fields_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The choice of one strategy for one task: one line of ``selections.jsonl``.

    ``index``: the chosen candidate; None if no candidate could be chosen. ``considered``: the indices of the candidates
    whose timing the strategy was allowed to see. ``unranked``: the indices of correct candidates without a
    log-probability, if the strategy ranks by it. ``cost``: what the choice cost, by kind (see docs/records.md).
    ``confirmed_*``: the timing that decides ``fast``. Where timings chose the candidate, it is a second one, on fresh
    inputs (``retimed``); a choice that no timing made is not biased, and its first timing decides.

    Of strategies that adapt: ``policy_version`` and ``step`` belong to the chosen candidate. ``checkpoint_step`` is the
    step whose weights the strategy chose; None if the candidates of every step counted.

    Of strategies with ``[stopping]``: ``asked`` is the number of candidates that were asked for, and ``stopped`` says
    why no more were. ``unread``: why the forecast could not be used, if the strategy ranks by one.
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
    retimed: bool = True
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
    """A policy's answer to the question which of its correct programs is the fastest: a line of ``forecasts.jsonl``.

    ``asked_sha256``: hash of the question and of the settings that the candidates were drawn with. ``shown``: the
    indices of the candidates in the question, in that order. ``named``: the index that the answer names; None if the
    answer names none or the question could not be asked, and ``missing`` then says why. ``tokens``: the number of
    tokens of prompt and answer together.
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
    """One version of the weights, its training and the results of its rollouts: one line of ``adaptation.jsonl``.

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
