"""``compare``, as every evaluator has it: a judge's own, a server's client and a judge of a Ray cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.evaluation.clock.gates import SECONDS_PER_SIZE, Comparison, Gate
from pytest_kernelbench.records import Task


class Comparing(ABC):
    """An evaluator that compares a kernel with the one that it is to replace."""

    def compare(
        self,
        task: Task,
        source: str,
        baseline_source: str,
        *,
        max_slowdown: float = 1.01,
        sizes: int = 1,
        seconds: float = SECONDS_PER_SIZE,
    ) -> Comparison:
        """Whether ``source`` is slower than ``baseline_source`` by more than ``max_slowdown`` (1.05: 5 %).

        Both are checked, then they take turns by the judge's clock: see ``clock.gates``. ``sizes`` is the number of
        sizes of the task at which the same two are compared, one call for each: a false alarm at any of them has at
        most a probability of 1 %. After ``seconds`` of turns what is not decided is ``undecided``.

        Raises UsageError for a limit that is not above 1, and HarnessError.
        """
        if max_slowdown <= 1:
            raise UsageError(
                f"max_slowdown={max_slowdown:g}: no measurement shows that two times are equal; give 1.01 for 1 %"
            )
        gate = Gate(max_slowdown=max_slowdown, sizes=sizes, seconds=seconds)
        return self.compared(task, source, baseline_source, gate)

    @abstractmethod
    def compared(self, task: Task, source: str, baseline_source: str, gate: Gate) -> Comparison:
        """As ``compare``, for a gate. Raises HarnessError."""
