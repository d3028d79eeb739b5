"""What metrics look at: the results of one strategy on every task that was collected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pytest_kernelbench.records import Completion, Evaluation, Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One candidate of a task; ``evaluation`` is None where it was drawn and not judged."""

    index: int
    completion: Completion | None = None
    evaluation: Evaluation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResults:
    """The first ``k`` candidates drawn for a task, by index, and what the strategy chose among them.

    ``selection`` is None where the run holds no choice: the harness failed, or the run is not over.
    """

    task: str
    samples: tuple[Sample, ...] = ()
    selection: Selection | None = None

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        return tuple(sample.evaluation for sample in self.samples if sample.evaluation is not None)

    @property
    def n_correct(self) -> int:
        return sum(evaluation.correct for evaluation in self.evaluations)

    def share(self, matching: Iterable[bool]) -> float:
        """The part of the candidates drawn for which ``matching`` is true; 0 where none was drawn."""
        return sum(matching) / len(self.samples) if self.samples else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyResults:
    """One entry in ``tasks`` for each task collected, whether or not the run has a row for it.

    ``margin`` is the noise allowance: verified means that the interval's lower end is above
    ``p * (1 + margin)``.
    """

    strategy: str
    k: int
    tasks: tuple[TaskResults, ...]
    margin: float = 0.0
    seed: int = 0


def mean(values: Iterable[float]) -> float | None:
    """None for no values: 0/0 is not 0."""
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else None
