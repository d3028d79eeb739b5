"""How near the chosen kernels are to what the hardware allows: the physical floor over the kernel's time.

``analyses["floor"]`` is null where no evaluation knows its floor, else::

    {"strategies": {name: {"share": estimate, "tasks": {UNIT: {"floor_ms": x, "candidate_ms": x, "reference_ms": x,
                                                            "share": x, "reference_share": x}},
                         "known": 5, "beyond": 0}}}

``share`` is ``floor_ms / candidate_ms`` of the chosen candidate when it was timed again, 1.0 being the floor itself;
the estimate is the mean over the tasks where it is known, and ``known`` counts them. ``beyond`` counts shares over 1,
which the measured floor of a CPU allows: there the floor was none.
"""

from __future__ import annotations

from math import nan

from pytest_kernelbench.report.analyses.base import Json, Study
from pytest_kernelbench.report.analyses.estimates import estimate_over_tasks
from pytest_kernelbench.report.metrics import StrategyResults, TaskResults, floor_share_of, timing_of_choice


def floor(study: Study) -> Json | None:
    found = {name: _of_strategy(results) for name, results in study.results.items()}
    return {"strategies": found} if any(each["tasks"] for each in found.values()) else None


def _of_strategy(results: StrategyResults) -> Json:
    rows = {task.unit: row for task in results.tasks if (row := _of_task(task)) is not None}
    share_U = [rows[task.unit]["share"] if task.unit in rows else nan for task in results.tasks]
    share = estimate_over_tasks([task.task for task in results.tasks], share_U)
    beyond = sum(row["share"] > 1 for row in rows.values())
    return {"share": share, "tasks": rows, "known": len(rows), "beyond": beyond}


def _of_task(task: TaskResults) -> Json | None:
    timed, share = timing_of_choice(task), floor_share_of(task)
    if timed is None or timed.floor_ms is None or share is None:
        return None
    return {
        "floor_ms": timed.floor_ms,
        "candidate_ms": timed.candidate_ms,
        "reference_ms": timed.reference_ms,
        "share": share,
        "reference_share": timed.floor_ms / timed.reference_ms if timed.reference_ms else None,
    }
