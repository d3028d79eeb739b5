"""The input of metrics: the results of one strategy on every task that was collected."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pytest_kernelbench.records import AgainstBaseline, Completion, Evaluation, Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One candidate of a task; ``evaluation`` is None where it was drawn and not judged."""

    index: int
    completion: Completion | None = None
    evaluation: Evaluation | None = None


@dataclass(frozen=True, kw_only=True)  # no slots: cached properties need a __dict__
class TaskResults:
    """The first ``k`` candidates drawn for a task, by index, and what the strategy chose among them.

    ``selection`` is None where the run holds no choice: the harness failed, or the run is not over. ``confirmation`` is
    the second evaluation of what was chosen, where there is one, and ``against`` what it is beside each stronger
    baseline that it was timed against. ``seed`` is given where a study ran the task with
    several.
    """

    task: str
    samples: tuple[Sample, ...] = ()
    selection: Selection | None = None
    confirmation: Evaluation | None = None
    against: Mapping[str, AgainstBaseline] = field(default_factory=dict)
    seed: int | None = None

    @property
    def unit(self) -> str:
        """``level1/4_x``, or ``level1/4_x[seed=1]`` in a study of several seeds."""
        return self.task if self.seed is None else f"{self.task}[seed={self.seed}]"

    @cached_property
    def evaluations(self) -> tuple[Evaluation, ...]:
        return tuple(sample.evaluation for sample in self.samples if sample.evaluation is not None)

    def n_fast(self, p: float, margin: float, *, verified: bool) -> int:
        """Candidates that are correct and fast at ``p`` on their first timing."""
        if verified:
            return len(self._lows) - bisect_right(self._lows, p * (1 + margin))
        return len(self._speedups) - bisect_right(self._speedups, p)

    @cached_property
    def _speedups(self) -> list[float]:
        return sorted(
            each.counted_speedup for each in self.evaluations if each.correct and each.counted_speedup is not None
        )

    @cached_property
    def _lows(self) -> list[float]:
        return sorted(each.counted_low for each in self.evaluations if each.correct and each.counted_low is not None)

    @cached_property
    def chosen(self) -> Evaluation | None:
        """The first evaluation of the candidate that was chosen."""
        if self.selection is None or self.selection.index is None:
            return None
        return next((sample.evaluation for sample in self.samples if sample.index == self.selection.index), None)

    @property
    def verdict(self) -> str:
        """``fast``, ``correct``, ``unsolved``, or ``missing`` where the run holds no choice for the task."""
        if self.selection is None:
            return "missing"
        if self.selection.index is None:
            return "unsolved"
        return "fast" if self.selection.fast else "correct"

    @property
    def n_correct(self) -> int:
        return sum(evaluation.correct for evaluation in self.evaluations)

    def share(self, matching: Iterable[bool]) -> float | None:
        """The part of the judged candidates for which ``matching`` is true; None where none was judged."""
        return sum(matching) / len(self.evaluations) if self.evaluations else None


@dataclass(frozen=True, kw_only=True)
class StrategyResults:
    """One entry in ``tasks`` for each task collected (and seed), whether or not the run has a row for it.

    ``margin`` is the noise allowance: verified means that the interval's lower end is above
    ``p * (1 + margin)``.
    """

    strategy: str
    k: int
    tasks: tuple[TaskResults, ...]
    margin: float = 0.0
    seed: int = 0

    @property
    def indices(self) -> tuple[tuple[int, ...], ...]:
        """Of the candidates of each entry: strategies that adapt share them where they took the same steps."""
        return tuple(tuple(sample.index for sample in task.samples) for task in self.tasks)

    def by_task(self, values_U: Iterable[float | None]) -> list[float]:
        """Means over the seeds of each task, of one value for each entry; entries and tasks of None are left out."""
        return [sum(each) / len(each) for each in self.seeds_by_task(values_U)]

    def seeds_by_task(self, values_U: Iterable[float | None]) -> list[list[float]]:
        """The values of each task, one for each seed; entries and tasks of None are left out."""
        values: dict[str, list[float]] = {}
        for entry, value in zip(self.tasks, values_U, strict=True):
            if value is not None:
                values.setdefault(entry.task, []).append(value)
        return list(values.values())

    @cached_property
    def is_verifiable(self) -> bool:
        """Whether the protocol gave intervals, so that something could be verified fast."""
        first = (each for task in self.tasks for each in task.evaluations)
        again = (task.confirmation for task in self.tasks if task.confirmation is not None)
        return verifiable((*first, *again))


def verifiable(evaluations: Iterable[Evaluation]) -> bool:
    """Whether the protocol gave intervals, without which nothing can be verified fast.

    True if no correct candidate was timed.
    """
    timed = [each for each in evaluations if each.correct and each.speedup is not None]
    return not timed or any(each.speedup_low is not None or each.counted is not None for each in timed)


def mean(values: Iterable[float]) -> float | None:
    """None for no values: 0/0 is not 0."""
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else None
