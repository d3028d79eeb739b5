"""How near the chosen kernels are to the physical floor: the least time in which the hardware could do the work.

On a GPU a kernel beyond its floor is void. On a CPU the floor is a timed copy, and a kernel may be faster than it,
because of caches or because another process ran while the copy was timed: a share over 1 says that the floor is wrong.
"""

from __future__ import annotations

from statistics import median

from pytest_kernelbench.records import Evaluation
from pytest_kernelbench.report.metrics.results import StrategyResults, TaskResults, mean


def floor_share(results: StrategyResults) -> float | None:
    """Mean of ``floor_ms / candidate_ms`` over the tasks whose chosen candidate has both; None where none has.

    Unlike a speed-up it cannot be raised by a slow reference.
    """
    return mean(share for share in map(floor_share_of, results.tasks) if share is not None)


def floor_share_of(task: TaskResults) -> float | None:
    """The floor over the time of the chosen kernel, by ``timing_of_choice``; None where one of the two is not known."""
    timed = timing_of_choice(task)
    if timed is None or timed.floor_ms is None or not timed.candidate_ms:
        return None
    return timed.floor_ms / timed.candidate_ms


def headroom_of(task: TaskResults) -> float | None:
    """The largest speed-up that the floor allows: the reference's time over the floor.

    The median over all that were timed, since both change with what else a machine does; None where no floor is known.
    """
    timed = [*task.evaluations, *([task.confirmation] if task.confirmation else [])]
    found = [each for each in map(_headroom, timed) if each is not None]
    return median(found) if found else None


def _headroom(timed: Evaluation) -> float | None:
    return timed.reference_ms / timed.floor_ms if timed.reference_ms and timed.floor_ms else None


def timing_of_choice(task: TaskResults) -> Evaluation | None:
    """The chosen kernel's second timing, which is unbiased; the first if it was not timed again."""
    return task.confirmation or task.chosen
