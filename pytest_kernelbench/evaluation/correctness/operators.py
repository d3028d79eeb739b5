"""Finds calls of a candidate to torch, or to the libraries that torch calls, for strategies that forbid them."""

from __future__ import annotations

import re

from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.handles.racks import JudgeSlot
from pytest_kernelbench.evaluation.handles.session import WorkerSession
from pytest_kernelbench.records import Outcome

# Operators that allocate, view or copy, and compute nothing.
OPERATORS_OF_NO_KERNEL = frozenset(
    f"aten.{name}"
    for name in "empty empty_like empty_strided new_empty zeros zeros_like new_zeros full full_like view _unsafe_view "
    "reshape as_strided t transpose permute squeeze unsqueeze expand slice select detach alias contiguous clone "
    "_reshape_alias fill_ zero_ unflatten flatten split narrow lift_fresh copy_ to _to_copy resolve_conj resolve_neg "
    "result_type numel size stride is_contiguous item _local_scalar_dense".split()
)
# torch's own kernels, and those of the libraries that it calls; CUTLASS's templates may be a candidate's own.
KERNEL_OF_A_LIBRARY = re.compile(
    r"at::native::(?!.*(?:Fill|copy))|cublas|cudnn|xmma|nvjet|cutlass_\d+_|(ampere|volta|turing)_\w*gemm"
)


def forbid_torch(session: WorkerSession, slot: JudgeSlot) -> None:
    """Profile one call. Raises CandidateFailed where an operator or a kernel of torch computes in it."""
    profile = session.profile(slot)
    used = [name for name in profile.operators if name not in OPERATORS_OF_NO_KERNEL]
    used += [name for name in profile.kernels if KERNEL_OF_A_LIBRARY.search(name)]
    if used:
        raise CandidateFailed(
            Outcome.VOID,
            f"calls {', '.join(used)[:200]}, which this strategy forbids",
            ("torch_operators",),
            quoted=True,
        )
