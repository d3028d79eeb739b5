"""What an analysis looks at: the candidates of a study as arrays, one row of a table for each task and seed.

Shapes of the JSON values that every analysis uses:

- an *estimate* is ``{"value": x, "low": x | null, "high": x | null}``, or ``null`` where nothing was measured;
- a *curve* is the same with a list in each place, one entry for each point of its axis.

``low`` and ``high`` bound a 95 % interval over tasks, all seeds of a task being one: of a rate Wilson's at the
effective number of tasks, of anything else bootstrapped. They are ``null`` where nothing is known of the spread between
tasks: with fewer than two, and for what is no rate where all have the same value.

Letters of axes: U units (a task, or a task with one of several seeds), T tasks, N candidates of a unit, C its
correct ones, K sizes of a subset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import exp, nan
from typing import Any

import numpy
from numpy.typing import NDArray

from pytest_kernelbench.metrics import Sample, StrategyResults, TaskResults
from pytest_kernelbench.records import Candidate, Completion, Judged
from pytest_kernelbench.runs import RunRecords
from pytest_kernelbench.stats import clustered_band, clustered_rate_band

Floats = NDArray[numpy.float64]
Bools = NDArray[numpy.bool_]
Json = dict[str, Any]

READINGS = ("verified", "raw")
SCORES = ("mean", "sum")
# Whose log-probability: the whole answer's, its code's alone, or the whole answer's at the temperature sampled at.
WHOLE, CODE, TEMPERED = "whole", "code", "tempered"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSamples:
    """The candidates of one unit in the order of their indices; NaN where something is not known.

    ``fast_N`` holds both readings of fast_1. ``logprob_N`` is by score, in nats, and None unless every candidate has
    one; ``other_logprob_N`` holds the same of CODE and TEMPERED.
    """

    results: TaskResults
    correct_N: Bools
    fast_N: Mapping[str, Bools]
    speedup_N: Floats
    tokens_N: Floats
    logprob_N: Mapping[str, Floats] | None
    other_logprob_N: Mapping[str, Mapping[str, Floats]]

    @property
    def n(self) -> int:
        return len(self.correct_N)

    def judged(self, of: str = WHOLE) -> list[Judged]:
        """As selectors take them, with the log-probability ``of`` some tokens for that of the completion.

        Where a candidate's completion was not kept, all that is known of it is its index.
        """
        known = [(sample, sample.evaluation) for sample in self.results.samples if sample.evaluation is not None]
        return [
            Judged(candidate=Candidate(completion=self._scored(sample, of), source=None), evaluation=evaluation)
            for sample, evaluation in known
        ]

    def _scored(self, sample: Sample, of: str) -> Completion:
        unknown = Completion(task=self.results.task, index=sample.index, text="", policy="")
        if of == WHOLE or sample.completion is None:
            return sample.completion or unknown
        total, n = OTHER_LOGPROBS[of](sample.completion)
        return unknown if n == 0 else replace(unknown, sum_logprob=total, n_tokens=n)

    def ranked_correct(self, score: str, *, surprising_first: bool) -> NDArray[numpy.int64]:
        """Positions of the correct candidates by log-probability, equal ones by index. Needs log-probabilities."""
        return self._ranked(numpy.flatnonzero(self.correct_N), score, surprising_first)

    def ranked(self, score: str, *, surprising_first: bool) -> NDArray[numpy.int64]:
        """The same of all candidates, whether correct or not."""
        return self._ranked(numpy.arange(self.n), score, surprising_first)

    def _ranked(self, positions: NDArray[numpy.int64], score: str, surprising_first: bool) -> NDArray[numpy.int64]:
        assert self.logprob_N is not None
        keys = self.logprob_N[score][positions] * (1 if surprising_first else -1)
        return positions[numpy.argsort(keys, kind="stable")]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleGroup:
    """Candidates that several strategies share: drawn and judged in one way. A unit without any has n = 0.

    Two are equal if they are one, so that what is computed of one may be kept.
    """

    strategies: tuple[str, ...]
    results: StrategyResults
    units: tuple[UnitSamples, ...]

    @property
    def n(self) -> int:
        """The fewest candidates of a unit that has any; 0 where none has."""
        return min((unit.n for unit in self.units if unit.n), default=0)

    @property
    def has_logprobs(self) -> bool:
        return any(unit.n for unit in self.units) and all(unit.logprob_N is not None for unit in self.units if unit.n)

    def has_other_logprobs(self, of: str) -> bool:
        """Whether there are correct candidates, and all of them have that of CODE or TEMPERED."""
        known = [unit.other_logprob_N[of]["sum"][unit.correct_N] for unit in self.units if unit.correct_N.any()]
        return bool(known) and not any(numpy.isnan(each).any() for each in known)

    @property
    def tasks(self) -> int:
        return len({unit.results.task for unit in self.units})

    @property
    def seeds(self) -> int:
        return len({unit.results.seed for unit in self.units})

    def table(self, curve_of: Callable[[UnitSamples], Floats]) -> Floats:
        """(U, K): a curve of each unit, as far as all of them go; 0 throughout for one without candidates."""
        n = self.n
        return numpy.array([curve_of(unit)[:n] if unit.n else numpy.zeros(n) for unit in self.units])

    @property
    def tasks_U(self) -> list[str]:
        return [unit.results.task for unit in self.units]

    def curve(self, values_UK: Floats) -> Json:
        """The mean over tasks, with its interval, at each K."""
        return curve_over_tasks(self.tasks_U, values_UK, seed=self.results.seed)

    def rate_curve(self, rates_UK: Floats) -> Json:
        """``curve`` of rates, which lie between 0 and 1."""
        return rate_curve_over_tasks(self.tasks_U, rates_UK)

    def estimate(self, values_U: Sequence[float] | Floats) -> Json | None:
        """The mean over tasks, with its interval; units whose value is NaN say nothing."""
        return estimate_over_tasks(self.tasks_U, values_U, seed=self.results.seed)

    def rate(self, rates_U: Sequence[float] | Floats) -> Json | None:
        """``estimate`` of rates."""
        return rate_over_tasks(self.tasks_U, rates_U)

    def geomean(self, logs_U: Sequence[float] | Floats) -> Json | None:
        """``estimate`` of logarithms, taken back."""
        return exponential(self.estimate(logs_U))


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The records of a run, and each set of candidates once. ``results`` is by the strategy's name."""

    records: RunRecords
    results: Mapping[str, StrategyResults]
    groups: tuple[SampleGroup, ...]

    @classmethod
    def of(cls, records: RunRecords) -> Study:
        sharing: dict[tuple[str | None, str | None], list[Any]] = {}
        for strategy in records.strategies:
            sharing.setdefault((strategy.sampling_sha256, strategy.evaluation_sha256), []).append(strategy)
        groups = []
        for strategies in sharing.values():
            # Step 0 of an adaptation strategy is drawn as search draws: its rollouts are those of the group.
            largest = max(strategies, key=lambda each: each.k)
            results = records.results(largest.as_search)
            units = tuple(unit_samples(task, results.margin) for task in results.tasks)
            groups.append(SampleGroup(strategies=tuple(each.name for each in strategies), results=results, units=units))
        return cls(
            records=records,
            results={strategy.name: records.results(strategy) for strategy in records.strategies},
            groups=tuple(groups),
        )


Analysis = Callable[[Study], "list[Json] | Json | None"]


def for_each_group(analyse: Callable[[SampleGroup], Json | None]) -> Analysis:
    """An analysis of one set of candidates as one of a study: its entries, each naming the strategies."""

    def analysis(study: Study) -> list[Json]:
        entries = [(group, analyse(group)) for group in study.groups if group.n]
        return [{"strategies": list(group.strategies), **entry} for group, entry in entries if entry is not None]

    return analysis


def unit_samples(task: TaskResults, margin: float) -> UnitSamples:
    evaluations = [sample.evaluation for sample in task.samples]
    completions = [sample.completion for sample in task.samples]
    others = {
        name: [(nan, 0) if each is None else of(each) for each in completions] for name, of in OTHER_LOGPROBS.items()
    }
    scores = {
        "mean": [nan if each is None or each.mean_logprob is None else each.mean_logprob for each in completions],
        "sum": [nan if each is None or each.sum_logprob is None else each.sum_logprob for each in completions],
    }
    logprob_N = {name: numpy.array(values, dtype=float) for name, values in scores.items()}
    return UnitSamples(
        results=task,
        correct_N=numpy.array([each is not None and each.correct for each in evaluations], dtype=bool),
        fast_N={
            "verified": numpy.array([each is not None and each.fast(1.0, margin) for each in evaluations], dtype=bool),
            "raw": numpy.array([each is not None and each.fast_raw(1.0) for each in evaluations], dtype=bool),
        },
        speedup_N=numpy.array(
            [nan if each is None or each.counted_speedup is None else each.counted_speedup for each in evaluations],
            dtype=float,
        ),
        tokens_N=numpy.array(
            [nan if each is None or each.n_tokens is None else each.n_tokens for each in completions], dtype=float
        ),
        logprob_N=None if any(numpy.isnan(values).any() for values in logprob_N.values()) else logprob_N,
        other_logprob_N={
            name: {
                "mean": numpy.array([total / max(n, 1) for total, n in found], dtype=float),
                "sum": numpy.array([total for total, _ in found], dtype=float),
            }
            for name, found in others.items()
        },
    )


def _of_code(completion: Completion) -> tuple[float, int]:
    """Sum of the log-probabilities of the tokens that are code, and how many these are; NaN where not known."""
    if completion.logprobs is None or completion.code_tokens is None:
        return nan, 0
    first, end = completion.code_tokens
    return sum(completion.logprobs[first:end]), end - first


def _of_tempered(completion: Completion) -> tuple[float, int]:
    """The same of all tokens in the distribution that they were drawn from."""
    if not completion.sampling_logprobs:
        return nan, 0
    return sum(completion.sampling_logprobs), len(completion.sampling_logprobs)


OTHER_LOGPROBS: dict[str, Callable[[Completion], tuple[float, int]]] = {CODE: _of_code, TEMPERED: _of_tempered}


def by_task(tasks_U: Sequence[str], values_U: Floats) -> Floats:
    """Means over the seeds of each task, along the first axis."""
    places: dict[str, list[int]] = {}
    for place, task in enumerate(tasks_U):
        places.setdefault(task, []).append(place)
    return numpy.array([values_U[each].mean(axis=0) for each in places.values()])


def curve_over_tasks(tasks_U: Sequence[str], values_UK: Floats, *, seed: int) -> Json:
    values_TK = by_task(tasks_U, values_UK)
    return _curve(values_TK, clustered_band(values_TK, seed=seed))


def rate_curve_over_tasks(tasks_U: Sequence[str], rates_UK: Floats) -> Json:
    rates_TK = by_task(tasks_U, rates_UK)
    return _curve(rates_TK, clustered_rate_band(rates_TK))


def estimate_over_tasks(tasks_U: Sequence[str], values_U: Sequence[float] | Floats, *, seed: int) -> Json | None:
    return _of_known(partial(curve_over_tasks, seed=seed), tasks_U, values_U)


def rate_over_tasks(tasks_U: Sequence[str], rates_U: Sequence[float] | Floats) -> Json | None:
    return _of_known(rate_curve_over_tasks, tasks_U, rates_U)


def _curve(values_TK: Floats, band: tuple[Floats, Floats]) -> Json:
    bounds = [None if numpy.isnan(end_K).all() else [finite(end) for end in end_K] for end_K in band]
    return {"value": values_TK.mean(axis=0).tolist(), "low": bounds[0], "high": bounds[1]}


def _of_known(
    curve_of: Callable[[list[str], Floats], Json], tasks_U: Sequence[str], values_U: Sequence[float] | Floats
) -> Json | None:
    """An estimate from the units whose value is known."""
    values = numpy.asarray(values_U, dtype=float)
    known = ~numpy.isnan(values)
    if not known.any():
        return None
    tasks = [task for task, is_known in zip(tasks_U, known, strict=True) if is_known]
    curve = curve_of(tasks, values[known][:, None])
    return {name: None if points is None else points[0] for name, points in curve.items()}


def exponential(of_logs: Json | None) -> Json | None:
    """Of an estimate or a curve of logarithms."""
    if of_logs is None:
        return None

    def back(each: Any) -> Any:
        if isinstance(each, list):
            return [back(one) for one in each]
        return None if each is None else exp(each)

    return {name: back(each) for name, each in of_logs.items()}


def finite(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return float(value) if numpy.isfinite(value) else None
