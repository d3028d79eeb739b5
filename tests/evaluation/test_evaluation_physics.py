"""The least time of a task: the bytes that must be moved and the products that must be computed."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_kernelbench.evaluation.device import cpu
from pytest_kernelbench.evaluation.device.physics import (
    Traffic,
    moving_ms,
    products_per_ms,
    traffic,
)
from pytest_kernelbench.evaluation.device.traits import DEVICES


def test_every_element_moves_once():
    assert traffic([torch.rand(10) + 1, 3, "text"], [torch.empty(20, device="meta")], {0: 1.0}) == Traffic(
        4 * 10, 4 * 20
    )


def test_of_an_input_only_what_is_needed_is_read():
    assert traffic([torch.rand(10) + 1, torch.rand(6) + 1], [], {0: 0.5}) == Traffic(4 * 5, 0)


def test_zeros_need_not_be_read_and_of_a_symmetric_matrix_only_half():
    triangular = torch.tril(torch.ones(4, 4) + torch.rand(4, 4))
    assert traffic([triangular], [], {0: 1.0}) == Traffic(4 * 10, 0)
    symmetric = torch.randn(6, 8)
    symmetric = symmetric @ symmetric.T
    assert traffic([symmetric], [], {0: 1.0}) == Traffic(4 * 18, 0)


def test_moving_takes_time_and_more_bytes_take_more():
    assert 0 < moving_ms(Traffic(1 << 11, 1 << 11), "cpu") < moving_ms(Traffic(1 << 27, 1 << 27), "cpu")


class Operators(TorchDispatchMode):
    """Names of the operators called."""

    def __init__(self):
        super().__init__()
        self.called = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.called.append(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("moved", "least_ms"),
    [
        (Traffic(1000, 1000), 10),
        (Traffic(2000, 0), 6),
        (Traffic(0, 2000), 8),
        (Traffic(1500, 500), (10 + 6) / 2),
        (Traffic(8 << 30, 0), 2 * 6),
    ],
    ids=["as much of both", "only read", "only written", "three read for one written", "more than is measured"],
)
def test_what_is_only_read_or_only_written_moves_faster_than_a_copy(monkeypatch, moved, least_ms):
    def milliseconds(work):
        with Operators() as operators:
            work()
        (called,) = operators.called
        return {"copy_": 10, "sum": 6, "zero_": 8}[called]

    monkeypatch.setattr(cpu, "milliseconds", milliseconds)
    monkeypatch.setattr(cpu, "obtainable_bytes", lambda: 64 << 30)  # whatever this machine has left
    monkeypatch.setitem(DEVICES, "meta", replace(DEVICES["cpu"], torch_name="meta"))
    assert moving_ms(moved, "meta") == least_ms


def test_a_cpu_has_no_tensor_cores_to_be_compared_with():
    assert products_per_ms("cpu") is None
