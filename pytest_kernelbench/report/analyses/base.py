"""The input of an analysis: the candidates of a study as arrays, one row for each task and seed.

Shapes of the JSON values that every analysis uses:

- an *estimate* is ``{"value": x, "low": x | null, "high": x | null, "tasks": 20, "warning": text | null, "fixed":
  {"low": x, "high": x, "warning": text | null} | null}``, or ``null`` where nothing was measured;
- a *curve* is ``value``, ``low`` and ``high`` with a list in each place, one entry for each point of its axis; that of
  a mean which is no rate has the ``warning`` of its last point.

``low`` and ``high`` bound a 95 % interval over tasks, all seeds of a task being one: for other tasks such as these
``tasks``. Of a rate it is exact at the effective number of tasks; of a mean the hull of Student's and Hall's, with a
``warning`` where it cannot be relied on: with fewer than 29 tasks, and, in place of the interval, where one or two
tasks carry the mean. They are ``null`` where nothing is known of the spread between tasks: with fewer than two, and for
what is no rate where all have the same value. ``fixed`` bounds the same for these very tasks, from the spread between
seeds; of a mean of fewer than 29 tasks and seeds together it has a ``warning`` of its own.

A unit (a task, or a task with one of several seeds) of which nothing was judged says nothing; a ranking says nothing of
a unit with a correct program without log-probability. ``of``, in the entry of a set of candidates, counts what there
is::

    {"units": 60, "units_judged": 59, "units_timed": 59, "units_ranked": 58, "units_in_curves": 59,
     "drawn": 3840, "judged": 3776, "correct": 2101, "timed": 2101, "ranked": 2100, "programs": 604}

``timed`` and ``ranked`` count correct candidates with a speed-up and with a log-probability, ``programs`` distinct
correct ones, a unit's each.

Letters of axes: U units, T tasks, N candidates of a unit, C its correct programs, K sizes of a subset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from pytest_kernelbench.report.analyses.estimates import (
    curve_over_tasks,
    difference_curve_over_tasks,
    difference_over_tasks,
    estimate_over_tasks,
    exponential,
    rate_curve_over_tasks,
    rate_over_tasks,
)
from pytest_kernelbench.report.analyses.units import (
    ALL,
    ANSWER,
    CODE,
    READINGS,
    SCORES,
    TEMPERED,
    UnitSamples,
    unit_samples,
)
from pytest_kernelbench.report.metrics import StrategyResults, verifiable
from pytest_kernelbench.report.records import RunRecords

Floats = NDArray[numpy.float64]
Bools = NDArray[numpy.bool_]
Json = dict[str, Any]

__all__ = ["ALL", "ANSWER", "CODE", "READINGS", "SCORES", "TEMPERED"]


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
        """How far curves go: the fewest candidates of a unit that is in them; 0 where none has any."""
        return min((unit.n for unit in self.units if self._in_curves(unit)), default=0)

    def _in_curves(self, unit: UnitSamples) -> bool:
        """Whether a unit has at least half as many candidates as the largest.

        Curves go as far as the smallest unit in them: a unit at which a run was killed would cut them short.
        """
        return unit.n > 0 and 2 * unit.n >= max(each.n for each in self.units)

    def ranked(self, of: str = ANSWER) -> bool:
        """Whether log-probabilities ``of`` some tokens rank the programs of a unit that has correct ones.

        Where no unit has any, whether a candidate has a log-probability at all.
        """
        if any(unit.programs.c for unit in self.units):
            return any(unit.programs.c > 0 and unit.is_ranked(of) for unit in self.units)
        return any(not numpy.isnan(unit.logprob_N[of]["mean"]).all() for unit in self.units if unit.n)

    @property
    def tasks(self) -> int:
        return len({unit.results.task for unit in self.units})

    @property
    def seeds(self) -> int:
        return len({unit.results.seed for unit in self.units})

    def table(
        self, curve_of: Callable[[UnitSamples], Floats], *, needs: Callable[[UnitSamples], bool] = lambda unit: True
    ) -> Floats:
        """(U, K): a curve of each unit, as far as all of them go; NaN for one without what it ``needs``."""
        n = self.n
        rows = [
            curve_of(unit)[:n] if self._in_curves(unit) and needs(unit) else numpy.full(n, numpy.nan)
            for unit in self.units
        ]
        return numpy.array(rows, dtype=float).reshape(len(self.units), n)

    @property
    def tasks_U(self) -> list[str]:
        return [unit.results.task for unit in self.units]

    @property
    def counts(self) -> dict[str, int]:
        """``of``, as the docstring of this module says."""
        units = [unit for unit in self.units if unit.n]
        return {
            "units": len(self.units),
            "units_judged": len(units),
            "units_timed": sum(unit.is_timed for unit in units),
            "units_ranked": sum(unit.is_ranked() for unit in units),
            "units_in_curves": sum(map(self._in_curves, self.units)),
            "drawn": sum(len(unit.results.samples) for unit in self.units),
            "judged": sum(unit.n for unit in units),
            "correct": sum(int(unit.correct_N.sum()) for unit in units),
            "timed": sum(int((unit.correct_N & ~numpy.isnan(unit.speedup_N)).sum()) for unit in units),
            "ranked": sum(int((unit.correct_N & ~numpy.isnan(unit.logprob_N[ANSWER]["mean"])).sum()) for unit in units),
            "programs": sum(unit.programs.c for unit in units),
        }

    def curve(self, values_UK: Floats) -> Json:
        """The mean over tasks, with its interval, at each K; units of NaN say nothing."""
        return curve_over_tasks(self.tasks_U, values_UK)

    def difference_curve(self, values_UK: Floats) -> Json:
        """``curve`` of differences of two rates."""
        return difference_curve_over_tasks(self.tasks_U, values_UK)

    def rate_curve(self, rates_UK: Floats) -> Json:
        """``curve`` of rates, which lie between 0 and 1."""
        return rate_curve_over_tasks(self.tasks_U, rates_UK)

    def estimate(self, values_U: Sequence[float] | Floats) -> Json | None:
        """The mean over tasks, with its interval; units whose value is NaN say nothing."""
        return estimate_over_tasks(self.tasks_U, values_U)

    def rate(self, rates_U: Sequence[float] | Floats) -> Json | None:
        """``estimate`` of rates."""
        return rate_over_tasks(self.tasks_U, rates_U)

    def difference(self, values_U: Sequence[float] | Floats) -> Json | None:
        """``estimate`` of differences of two rates, or of correlations."""
        return difference_over_tasks(self.tasks_U, values_U)

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
            if strategy.reads_verdicts:
                continue  # its later candidates are not like its earlier ones: no subset of K stands for another
            sharing.setdefault((strategy.sampling_sha256, strategy.evaluation_sha256), []).append(strategy)
        groups = []
        for strategies in sharing.values():
            # Step 0 of an adaptation strategy is drawn as search draws: its rollouts are those of the group.
            largest = max(strategies, key=lambda each: each.k)
            results = records.results(largest.as_search)
            verified = verifiable(each for task in results.tasks for each in task.evaluations)
            units = tuple(unit_samples(task, results.margin, verified=verified) for task in results.tasks)
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
        return [
            {"strategies": list(group.strategies), "of": group.counts, **entry}
            for group, entry in entries
            if entry is not None
        ]

    return analysis
