"""A worker finds no memory or no time on the device: is that its candidate's doing, or that of other processes?"""

from __future__ import annotations

import re

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation import holds
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.records import Outcome

# The libraries of CUDA have words of their own; they are not initialized where they have no memory for that.
SAYS_SO = re.compile(
    r"out of memory|OutOfMemoryError|_ALLOC_FAILED|CU(BLAS|DNN|SOLVER)_STATUS_NOT_INITIALIZED", re.IGNORECASE
)
WANTED = re.compile(r"[Tt]ried to allocate ([0-9.]+) (bytes|[KMGT]iB)")
UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
# Share of the device's memory that other processes hold where they are to blame; contexts of spare workers take less.
SHARE_OF_OTHERS = 0.2


def finds_no_memory(failure: CandidateFailed) -> bool:
    """Whether a candidate failed because an allocation did, by its own words: in its constructor or in a call."""
    in_process = failure.outcome in (Outcome.RUNTIME_ERROR, Outcome.BUILD_ERROR)
    return in_process and SAYS_SO.search(failure.detail) is not None


def lacks_memory(error: BaseException) -> bool:
    """Whether an error of this process says that there is no memory: torch's own, or that of a library of CUDA."""
    return isinstance(error, RuntimeError) and SAYS_SO.search(f"{type(error).__name__}: {error}") is not None


def is_for_company(error: BaseException) -> bool:
    """Whether this process lacks memory that others on the device may have: what cannot be done now can be done alone.

    By a bench that was made without that memory honest kernels would be wrong, and other judges are told what it knows.
    """
    return holds.has_company() and lacks_memory(error)


def may_be_for_company(failure: Exception, *, timed: bool) -> bool:
    """Whether a trial may have failed because others were on the device: for lack of memory, or of time.

    ``timed``: it failed once it had the device alone. Candidates that wait for the device hold memory then, and compute
    nothing.
    """
    if not isinstance(failure, CandidateFailed):
        return isinstance(failure, HarnessError) or lacks_memory(failure)
    return finds_no_memory(failure) or (failure.outcome is Outcome.TIMEOUT and not timed)


def others_are_to_blame(failure: CandidateFailed, *, bytes_of_others: int, all_bytes: int) -> bool:
    """Whether other processes hold much of the device, and what was asked for is no more than they leave it without.

    A candidate can claim to have asked for little: then its trial is repeated, when the device is free.
    """
    asked = WANTED.search(failure.detail)
    wanted_bytes = float(asked[1]) * UNITS[asked[2]] if asked else 0.0
    return bytes_of_others > SHARE_OF_OTHERS * all_bytes and wanted_bytes < all_bytes / 2
