"""Candidate -> Evaluation: build, check and time a candidate in a process of its own, so that the number holds.

    Evaluator (owner's process) -> judge (trusted) -> worker (one for each candidate, in a sandbox)

``judge.py`` tells a trial in order; ``sandbox.py`` lists what a candidate cannot do; ``worker/`` is the only
code that shares a process with one.
"""

from pytest_kernelbench.evaluation.device.names import resolve_device
from pytest_kernelbench.evaluation.evaluator import Evaluator, reference_as_candidate
from pytest_kernelbench.evaluation.pool import EvaluatorPool

__all__ = ["Evaluator", "EvaluatorPool", "reference_as_candidate", "resolve_device"]
