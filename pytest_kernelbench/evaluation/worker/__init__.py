"""The only code that shares a process with a candidate. Its statements are checked outside this process."""

from pytest_kernelbench.evaluation.worker.loop import serve

__all__ = ["serve"]
