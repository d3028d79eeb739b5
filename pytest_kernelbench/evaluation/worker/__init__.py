"""The only code that shares a process with a candidate. The judge checks its answers from outside this process."""

from pytest_kernelbench.evaluation.worker.loop import serve

__all__ = ["serve"]
