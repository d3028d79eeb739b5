"""How much fast_1 owes to the margin: verified fast choices against what the low end of the interval must exceed.

``analyses["margins"]`` is null where nothing was verified, else::

    {"margin": [0.0, 0.005, ..., 0.5], "strategies": {name: curve}}

Each curve is the share of tasks whose choice, when it was timed again, has an interval that begins above 1 + margin. A
fast_1 that falls at a margin of a few percent counts timings and not kernels.
"""

from __future__ import annotations

import numpy

from pytest_kernelbench.report.analyses.base import Json, Study
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
    lows = [None if task.selection is None else task.selection.confirmed_low for task in results.tasks]
    fast_UM = numpy.array([[float(low is not None and low > 1 + margin) for margin in MARGINS] for low in lows])
    return rate_curve_over_tasks([task.task for task in results.tasks], fast_UM)
