"""The least time a task can take: what must move, and what must be multiplied."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_kernelbench.evaluation.device import cpu
from pytest_kernelbench.evaluation.device.physics import (
    Traffic,
    moving_ms,
    products_per_ms,
    products_that_must_be_formed,
    traffic,
)

A, B = torch.randn(6, 8), torch.randn(8, 10)


def test_every_element_moves_once():
    assert traffic([torch.rand(10) + 1, 3, "text"], [torch.empty(20, device="meta")]) == Traffic(4 * 10, 4 * 20)


def test_zeros_need_not_be_read_and_of_a_symmetric_matrix_only_half():
    triangular = torch.tril(torch.ones(4, 4) + torch.rand(4, 4))
    assert traffic([triangular], []) == Traffic(4 * 10, 0)
    symmetric = A @ A.T
    assert traffic([symmetric], []) == Traffic(4 * 18, 0)


@pytest.mark.parametrize(
    ("run", "products"),
    [
        (lambda: A @ B, 6 * 8 * 10),
        (lambda: torch.bmm(A.expand(3, 6, 8), B.expand(3, 8, 10)), 3 * 6 * 8 * 10),
        (lambda: torch.einsum("bij,jk->bik", A.expand(3, 6, 8), B), 3 * 6 * 8 * 10),
        (lambda: torch.nn.functional.linear(A, B.T, torch.ones(10)), 6 * 8 * 10),
        (lambda: (A @ B).T, 6 * 8 * 10),
        (lambda: (A @ B, A @ B), 2 * 6 * 8 * 10),
    ],
    ids=["mm", "bmm", "einsum", "linear", "transposed", "two outputs"],
)
def test_a_matrix_product_takes_its_products(run, products):
    assert products_that_must_be_formed(run) == products


def test_products_with_a_structural_zero_need_not_be_formed():
    n = 16
    diagonal, dense = torch.diag(torch.rand(n) + 1), torch.rand(n, n) + 1
    assert products_that_must_be_formed(lambda: diagonal @ dense) == n * n
    lower = torch.tril(dense)
    assert products_that_must_be_formed(lambda: lower @ lower) == sum(
        1 for i in range(n) for j in range(n) for k in range(n) if j <= k <= i
    )


@pytest.mark.parametrize(
    "run",
    [
        lambda: (A @ B).sum(),
        lambda: torch.relu(A @ B),
        lambda: torch.nn.functional.conv1d(A[None], torch.randn(3, 6, 2)),
        lambda: A + 1,
    ],
    ids=["sum", "relu", "convolution", "no product"],
)
def test_what_something_else_is_computed_from_has_no_arithmetic_floor(run):
    assert products_that_must_be_formed(run) == 0


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
    assert moving_ms(moved, "meta") == least_ms


def test_a_cpu_has_no_tensor_cores_to_be_compared_with():
    assert products_per_ms("cpu") is None
