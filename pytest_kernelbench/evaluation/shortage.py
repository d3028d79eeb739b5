"""A worker finds no memory or no time on the device: is that its candidate's doing, or that of other processes?"""

from __future__ import annotations

import re

from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.records import Outcome

# The libraries of CUDA have words of their own; cuBLAS is not initialized where it has no memory for that.
SAYS_SO = re.compile(r"out of memory|OutOfMemoryError|_ALLOC_FAILED|CUBLAS_STATUS_NOT_INITIALIZED", re.IGNORECASE)
WANTED = re.compile(r"[Tt]ried to allocate ([0-9.]+) (bytes|[KMGT]iB)")
UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
# Share of the device's memory that other processes hold where they are to blame; contexts of spare workers take less.
SHARE_OF_OTHERS = 0.2


def finds_no_memory(failure: CandidateFailed) -> bool:
    """Whether a candidate failed because an allocation did, by its own words."""
    return failure.outcome is Outcome.RUNTIME_ERROR and SAYS_SO.search(failure.detail) is not None


def may_be_for_company(failure: CandidateFailed) -> bool:
    """Whether a candidate may have failed because others were on the device: for lack of memory, or of time."""
    return failure.outcome is Outcome.TIMEOUT or finds_no_memory(failure)


def others_are_to_blame(failure: CandidateFailed, *, bytes_of_others: int, all_bytes: int) -> bool:
    """Whether other processes hold much of the device, and what was asked for is no more than they leave it without.

    A candidate can claim to have asked for little: then its trial is repeated, when the device is free.
    """
    asked = WANTED.search(failure.detail)
    wanted_bytes = float(asked[1]) * UNITS[asked[2]] if asked else 0.0
    return bytes_of_others > SHARE_OF_OTHERS * all_bytes and wanted_bytes < all_bytes / 2
