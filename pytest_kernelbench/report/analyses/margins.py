"""How much fast_1 owes to the margin: verified fast choices against what the low end of the interval must exceed.

``analyses["margins"]`` is null where nothing was verified, else::

    {"margin": [0.0, 0.005, ..., 0.5], "strategies": {name: {**curve, "falls_at": [m, ...], "falls_to": [x, ...]}}}

Each curve is the share of tasks whose choice, when it was timed again, has an interval that begins above 1 + margin.
``falls_at`` are all margins over 0 at which the share falls, ``falls_to`` what is left from there on. A fast_1 that
falls at a margin of a few percent counts timings and not kernels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from pytest_kernelbench.report.analyses.base import Floats, Json, Study
from pytest_kernelbench.report.analyses.estimates import rate_curve_over_tasks
from pytest_kernelbench.report.metrics import StrategyResults

MARGINS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)


def margins(study: Study) -> Json | None:
    known = {name: results for name, results in study.results.items() if results.is_verifiable and _any_chosen(results)}
    return (
        {"margin": list(MARGINS), "strategies": {name: _curve(each) for name, each in known.items()}} if known else None
    )


def _any_chosen(results: StrategyResults) -> bool:
    return any(task.selection is not None and task.selection.confirmed_low is not None for task in results.tasks)


def _curve(results: StrategyResults) -> Json:
    tasks = [task.task for task in results.tasks]
    lows = [None if task.selection is None else task.selection.confirmed_low for task in results.tasks]
    falls = sorted({low - 1 for low in lows if low is not None and low > 1})
    return {
        **rate_curve_over_tasks(tasks, _fast_UM(lows, MARGINS)),
        "falls_at": falls,
        "falls_to": rate_curve_over_tasks(tasks, _fast_UM(lows, falls))["value"],
    }


def _fast_UM(lows: Sequence[float | None], margins: Sequence[float]) -> Floats:
    return numpy.array([[float(low is not None and low - 1 > margin) for margin in margins] for low in lows])
