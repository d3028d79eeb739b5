"""How far a strategy got from the reference to the speed of light: the floor that the device has for a task."""

from __future__ import annotations

from pytest_kernelbench.report.metrics.floor import headroom_of, timing_of_choice
from pytest_kernelbench.report.metrics.results import StrategyResults, TaskResults, mean


def sol_score(results: StrategyResults) -> float | None:
    """Mean of ``sol_score_of`` over the tasks that have one; None where none has."""
    return mean(score for score in map(sol_score_of, results.tasks) if score is not None)


def sol_score_of(task: TaskResults) -> float | None:
    """(reference - chosen kernel) / (reference - floor), of their times: 0 at the reference, 1 at the floor.

    By the speed-up that counts. 0 where no kernel was chosen or it is slower than the reference, 1 for one beyond the
    floor, as a CPU's allows; None where no floor is known, or the reference is at it and there is nothing to gain.
    """
    headroom = headroom_of(task)
    if headroom is None or headroom <= 1:
        return None
    timed = timing_of_choice(task)
    speedup = None if timed is None else timed.counted_speedup
    if speedup is None or speedup <= 1:
        return 0.0
    return min(1.0, (1 - 1 / speedup) / (1 - 1 / headroom))
