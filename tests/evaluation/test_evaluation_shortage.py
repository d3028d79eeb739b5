"""A worker that finds no memory on its device."""

import pytest
import torch

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.failures import CandidateFailed
from pytest_kernelbench.evaluation.shortage import finds_no_memory, may_be_for_company, others_are_to_blame
from pytest_kernelbench.records import Outcome

TORCH_S = "OutOfMemoryError: CUDA out of memory. Tried to allocate {} GiB. GPU 0 has a total capacity of 139.72 GiB"


def failed(detail, outcome=Outcome.RUNTIME_ERROR):
    return CandidateFailed(outcome, detail, quoted=True)


@pytest.mark.parametrize("detail", [TORCH_S.format("4.00"), "RuntimeError: CUDA error: out of memory (candidate.py:3)"])
def test_an_allocation_that_fails_is_known_by_what_is_said_of_it(detail):
    assert finds_no_memory(failed(detail))
    assert finds_no_memory(failed(detail, Outcome.BUILD_ERROR))  # in its constructor
    assert not finds_no_memory(failed(detail, Outcome.TIMEOUT))


def test_other_errors_are_none_of_memory():
    assert not finds_no_memory(failed("RuntimeError: the memory of an elephant"))


@pytest.mark.parametrize(
    ("wanted", "share", "blamed"),
    [
        ("4.00", 0.6, True),
        ("4.00", 0.1, False),  # alone on the device
        ("1024.00", 0.6, False),  # more than the device has
    ],
)
def test_others_are_to_blame_where_they_hold_much_and_little_was_wanted(wanted, share, blamed):
    every = 140 << 30
    failure = failed(TORCH_S.format(wanted))
    assert others_are_to_blame(failure, bytes_of_others=int(share * every), all_bytes=every) is blamed


def test_where_nothing_is_said_of_how_much_was_wanted_others_are_to_blame():
    assert others_are_to_blame(failed("CUDA error: out of memory"), bytes_of_others=60, all_bytes=100)


@pytest.mark.parametrize(
    ("failure", "beside", "alone"),
    [
        (failed("no answer within 10 s", Outcome.TIMEOUT), True, False),
        (failed(TORCH_S.format("4.00")), True, True),
        (failed(TORCH_S.format("4.00"), Outcome.BUILD_ERROR), True, True),
        (failed("ZeroDivisionError"), False, False),
        (HarnessError("a worker does not start"), True, True),
        (torch.OutOfMemoryError("CUDA out of memory"), True, True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), True, True),
        (RuntimeError("a bug"), False, False),
    ],
)
def test_what_may_be_for_company_depends_on_whether_others_compute_or_only_wait(failure, beside, alone):
    assert may_be_for_company(failure, timed=False) is beside
    assert may_be_for_company(failure, timed=True) is alone
