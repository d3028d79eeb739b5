"""KernelBench tasks as pytest items.

    Task -> Completion -> Candidate -> Evaluation -> Selection -> Report

A task is a PyTorch module, the reference. A policy answers it with completions; the Python module in a completion
is a candidate; the evaluator judges it in a separate process and times it against the reference; a strategy
selects one candidate, which is timed again on fresh inputs if timings chose it; the report counts the selections.
Every stage is recorded before the next begins, so a killed run can be resumed.

``pipeline.py`` does this for one task and one strategy. Without pytest, for a reward function:

    from pytest_kernelbench import Evaluator, load_tasks

    with Evaluator(device="cuda", protocol="fast") as evaluator:
        for evaluation in evaluator.evaluate(load_tasks("level1/12")[0], sources):
            print(evaluation.outcome, evaluation.counted_speedup)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_kernelbench.evaluation import Evaluator, EvaluatorPool
    from pytest_kernelbench.tasks import load_tasks

__version__ = "0.2.0"
__all__ = ["Evaluator", "EvaluatorPool", "load_tasks"]

_HOMES = {
    "Evaluator": "pytest_kernelbench.evaluation",
    "EvaluatorPool": "pytest_kernelbench.evaluation",
    "load_tasks": "pytest_kernelbench.tasks",
}


def __getattr__(name: str) -> Any:
    # Lazily: every pytest run imports this package, and most of them need neither.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
