"""A worker finds no memory or no time on the device: is that its candidate's doing, or that of other processes?"""

from __future__ import annotations

import re

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.sharing import holds
from pytest_kernelbench.records import Outcome

# Words of torch and of CUDA's libraries, which say "not initialized" where they have no memory for that.
SAYS_SO = re.compile(
    r"out of memory|OutOfMemoryError|_ALLOC_FAILED|CU(BLAS|DNN|SOLVER)_STATUS_NOT_INITIALIZED", re.IGNORECASE
)
WANTED = re.compile(r"[Tt]ried to allocate ([0-9.]+) (bytes|[KMGT]iB)")
UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
# Other processes are to blame if they hold more than this share of the device; the contexts of spare workers take less.
SHARE_OF_OTHERS = 0.2


def finds_no_memory(failure: CandidateFailed | HarnessError) -> bool:
    """Whether a worker says that an allocation failed: with its reference alone, in a constructor, or in a call."""
    if isinstance(failure, HarnessError):
        return SAYS_SO.search(str(failure)) is not None
    in_process = failure.outcome in (Outcome.RUNTIME_ERROR, Outcome.BUILD_ERROR)
    return in_process and SAYS_SO.search(failure.detail) is not None


def said_by(error: BaseException) -> str:
    """An error of this process with its type, by which ``lacks_memory`` and ``finds_no_memory`` know it."""
    return f"{type(error).__name__}: {error}"


def lacks_memory(error: BaseException) -> bool:
    """Whether an error of this process says that there is no memory: torch's own, or that of a library of CUDA."""
    return isinstance(error, RuntimeError) and SAYS_SO.search(said_by(error)) is not None


def is_for_company(error: BaseException) -> bool:
    """Whether this process lacks memory that others on the device may hold, so that alone it might have it.

    The error is then raised instead of going on without the answer that needs the memory: tolerances measured without
    it would make honest kernels wrong, and are told to other judges.
    """
    return holds.has_company() and lacks_memory(error)


def is_for_memory(failure: Exception) -> bool:
    """Whether a trial failed because its worker or its judge found no memory."""
    if isinstance(failure, (CandidateFailed, HarnessError)):
        return finds_no_memory(failure)
    return lacks_memory(failure)


def may_be_for_company(failure: Exception, *, timed: bool) -> bool:
    """Whether a trial may have failed because others were on the device: for lack of memory, or of time.

    ``timed``: it failed when it had the device alone. Then stopped candidates may still hold memory, but take no time.
    """
    if is_for_memory(failure) or isinstance(failure, HarnessError):
        return True
    return isinstance(failure, CandidateFailed) and failure.outcome is Outcome.TIMEOUT and not timed


def others_are_to_blame(failure: CandidateFailed, *, bytes_of_others: int, all_bytes: int) -> bool:
    """Whether other processes hold much of the device, and the candidate asked for less than half of it.

    The size is the candidate's own statement; if it lies, its trial is repeated when the device is free.
    """
    asked = WANTED.search(failure.detail)
    wanted_bytes = float(asked[1]) * UNITS[asked[2]] if asked else 0.0
    return bytes_of_others > SHARE_OF_OTHERS * all_bytes and wanted_bytes < all_bytes / 2
