"""The only code that shares a process with a candidate. Nothing it says is believed without a check outside."""

from pytest_kernelbench.evaluation.worker.loop import serve

__all__ = ["serve"]
