"""A failure of the harness, as the judge reports it to its owner."""

from __future__ import annotations

import traceback

import torch

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.boundary import messages

MAX_TRACEBACK = 8000


def fault_of(error: Exception, task: str) -> dict[str, str]:
    """``message`` and ``traceback`` of a failure of the harness on ``task``; expected failures have no traceback."""
    if isinstance(error, HarnessError | torch.OutOfMemoryError):
        return {"message": " ".join(str(error).split()), "traceback": ""}
    what = messages.printable(f"{type(error).__name__}: {' '.join(str(error).split())}"[:300], 300)
    return {
        "message": f"{task}: the harness failed ({what}); run again to resume, and report the traceback that is kept",
        "traceback": messages.printable("".join(traceback.format_exception(error)), MAX_TRACEBACK),
    }
