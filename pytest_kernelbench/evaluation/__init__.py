"""Candidate -> Evaluation: build, check and time a candidate in a process of its own.

    Evaluator (owner's process) -> judge (trusted) -> worker (one for each candidate, in a sandbox)

``trial.py`` has the steps of a candidate in order; ``sandbox/`` lists what a candidate cannot do; ``worker/`` is
the only code that shares a process with one. docs/architecture.md has the other folders.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_kernelbench.evaluation.baselines import reference_as_candidate
from pytest_kernelbench.evaluation.device.names import resolve_device
from pytest_kernelbench.host.system import require_linux

if TYPE_CHECKING:
    from pytest_kernelbench.evaluation.judges.evaluator import Evaluator
    from pytest_kernelbench.evaluation.judges.pool import EvaluatorPool

__all__ = ["Evaluator", "EvaluatorPool", "reference_as_candidate", "resolve_device"]

_HOMES = {
    "Evaluator": "pytest_kernelbench.evaluation.judges.evaluator",
    "EvaluatorPool": "pytest_kernelbench.evaluation.judges.pool",
}


def __getattr__(name: str) -> Any:
    # Lazily: code that only lists devices and protocols needs neither torch nor Linux.
    if name in _HOMES:
        require_linux()
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
