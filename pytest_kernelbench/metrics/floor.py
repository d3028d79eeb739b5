"""How near the chosen kernels are to the physical floor: the least time in which the hardware could do the work."""

from __future__ import annotations

from pytest_kernelbench.metrics.results import StrategyResults, mean
from pytest_kernelbench.records import Evaluation


def floor_share(results: StrategyResults) -> float | None:
    """Mean of ``floor_ms / candidate_ms`` over the tasks whose chosen candidate has both; None where none has.

    Unlike a speed-up it cannot be raised by a slow reference.
    """
    shares = [floor_share_of(task.chosen) for task in results.tasks if task.chosen is not None]
    return mean(share for share in shares if share is not None)


def floor_share_of(evaluation: Evaluation) -> float | None:
    """1.0 is the floor itself; None where the floor or the timing is not known."""
    if evaluation.floor_ms is None or not evaluation.candidate_ms:
        return None
    return evaluation.floor_ms / evaluation.candidate_ms
