"""How near the chosen kernels are to what the hardware allows: the physical floor over the kernel's time.

``analyses["floor"]`` is null where no evaluation knows its floor, else::

    {"strategies": {name: {"share": estimate, "tasks": {UNIT: {"floor_ms": x, "candidate_ms": x, "reference_ms": x,
                                                            "share": x, "reference_share": x}}}}}

``share`` is ``floor_ms / candidate_ms`` of the chosen candidate, 1.0 being the floor itself; the estimate is the mean
over the tasks where it is known.
"""

from __future__ import annotations

from math import nan

from pytest_kernelbench.analysis.base import Json, Study, estimate_over_tasks
from pytest_kernelbench.metrics import StrategyResults, TaskResults, floor_share_of


def floor(study: Study) -> Json | None:
    found = {name: _of_strategy(results) for name, results in study.results.items()}
    return {"strategies": found} if any(each["tasks"] for each in found.values()) else None


def _of_strategy(results: StrategyResults) -> Json:
    rows = {task.unit: row for task in results.tasks if (row := _of_task(task)) is not None}
    share_U = [rows[task.unit]["share"] if task.unit in rows else nan for task in results.tasks]
    share = estimate_over_tasks([task.task for task in results.tasks], share_U, seed=results.seed)
    return {"share": share, "tasks": rows}


def _of_task(task: TaskResults) -> Json | None:
    chosen = task.chosen
    share = None if chosen is None else floor_share_of(chosen)
    if chosen is None or share is None or chosen.candidate_ms is None:
        return None
    floor_ms = share * chosen.candidate_ms
    return {
        "floor_ms": floor_ms,
        "candidate_ms": chosen.candidate_ms,
        "reference_ms": chosen.reference_ms,
        "share": share,
        "reference_share": floor_ms / chosen.reference_ms if chosen.reference_ms else None,
    }
