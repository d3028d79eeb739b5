"""The judge reads outputs in the memory of the process that made them."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.device.cpu import ProcessMemory
from pytest_kernelbench.evaluation.device.foreign import NotThere, Place
from pytest_kernelbench.evaluation.layouts import is_dense

HOLDS_A_TENSOR = """
import torch
from pytest_kernelbench.evaluation.worker.memory import let_memory_be_read

let_memory_be_read()
held = torch.arange(12, dtype=torch.float32).view(3, 4).t()
print(held.data_ptr(), flush=True)
input()
"""


def test_a_tensor_of_another_process_is_read_with_its_strides():
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_TENSOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        at = int(process.stdout.readline())
        memory = ProcessMemory(process.pid)
        found = memory.tensor(Place(at, (1, 4)), torch.empty(4, 3, device="meta"))
        assert torch.equal(found, torch.arange(12.0).view(3, 4).t())
        process.communicate(b"\n")
    with pytest.raises((NotThere, FileNotFoundError)):
        memory.tensor(Place(at, (1, 4)), torch.empty(4, 3, device="meta"))


@pytest.mark.parametrize("at", [0, 16, (1 << 64) - 1])
def test_where_nothing_is_mapped_there_is_no_output(at):
    with pytest.raises(NotThere):
        ProcessMemory(os.getpid()).tensor(Place(at, (1,)), torch.empty(5, device="meta"))


@given(st.lists(st.integers(1, 4), max_size=4), st.randoms())
def test_a_permuted_tensor_is_dense_and_a_part_or_a_broadcast_one_is_not(shape, random):
    order = list(range(len(shape)))
    random.shuffle(order)
    whole = torch.empty(shape)
    assert is_dense(whole.permute(order).shape, whole.permute(order).stride())
    wider = torch.empty([size + 1 for size in shape])
    part = wider[tuple(slice(0, size) for size in shape)]
    assert is_dense(part.shape, part.stride()) == (part.is_contiguous() or part.numel() == 1)
    broadcast = torch.empty(()).expand(shape)
    assert is_dense(broadcast.shape, broadcast.stride()) == (broadcast.numel() == 1)
