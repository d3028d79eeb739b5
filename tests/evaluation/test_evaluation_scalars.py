"""Numbers about tensors: what they are, and how many times one is read, which takes long on a GPU that others use."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_kernelbench.evaluation.correctness import comparison
from pytest_kernelbench.evaluation.correctness.comparison import Expected, Tolerance
from pytest_kernelbench.evaluation.correctness.rounding import Noise, apart
from pytest_kernelbench.evaluation.correctness.scalars import (
    error_of,
    finite_rms,
    largest_of,
    median_of,
    norm_of_finite,
    numbers,
    rms_of,
)

READS = {"aten._local_scalar_dense.default", "aten.equal.default", "aten.is_nonzero.default"}
FLOATS = st.floats(-1e6, 1e6, width=32) | st.sampled_from([math.nan, math.inf, -math.inf])


class Reads(TorchDispatchMode):
    """Counts the numbers that are read one by one; ``numbers`` reads its own together."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += str(function) in READS
        return function(*args, **(kwargs or {}))


@pytest.fixture
def read_together(monkeypatch):
    """How many numbers each call of ``numbers`` in ``comparison`` read."""
    calls = []

    def counted(*scalars):
        calls.append(len(scalars))
        return numbers(*scalars)

    monkeypatch.setattr(comparison, "numbers", counted)
    return calls


@settings(max_examples=100, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=40))
def test_they_are_of_the_finite_elements(values):
    tensor = torch.tensor(values)
    finite = [each for each in tensor.tolist() if math.isfinite(each)] or [0.0]
    rms = math.sqrt(math.fsum(each * each for each in finite) / len(values))
    largest, norm, of_all = numbers(largest_of(tensor), norm_of_finite(tensor), rms_of(tensor))
    assert largest == max(map(abs, finite))
    assert norm == pytest.approx(rms * len(values) ** 0.5, rel=1e-5, abs=1e-30)
    assert finite_rms(tensor, of_all) == pytest.approx(rms, rel=1e-5, abs=1e-30)
    assert 0 <= float(median_of(tensor)) <= largest


def test_of_no_elements_they_are_zero():
    empty = torch.empty(0)
    assert numbers(largest_of(empty), rms_of(empty), median_of(empty), *error_of(empty, empty)) == [0.0] * 5


def test_numbers_of_several_types_are_read_together_as_they_are():
    assert numbers(torch.tensor(2**40), torch.tensor(0.1, dtype=torch.float64), torch.tensor(True)) == [2**40, 0.1, 1]


def test_a_small_root_mean_square_in_half_precision_is_not_lost():
    values = torch.zeros(1 << 20, dtype=torch.float16)
    values[0] = 1e-5
    assert numbers(rms_of(values), error_of(values, torch.zeros_like(values))[1]) == pytest.approx(
        [1e-5 / 1024] * 2, rel=0.01
    )


def test_an_answer_that_is_right_to_the_last_bit_needs_no_size_and_another_one_two_reads(read_together):
    exact = torch.rand(1000, dtype=torch.float64) + 0.5
    tolerance = Tolerance.measured(exact.float(), exact)
    read_together.clear()
    with Reads() as read:
        due = Expected.of(exact.float(), None, tolerance)
        assert due.objection(exact.float()) is None
        assert (read.count, read_together) == (0, [])
        for _ in range(2):
            assert due.objection(exact.float() * (1 + 2**-23)) is None
    # The error each time, and once the sizes of what is due.
    assert (read.count, read_together) == (0, [2, 2, 2])


def test_a_tolerance_takes_one_read_and_the_look_for_infinities(read_together):
    exact = torch.rand(1000, dtype=torch.float64)
    with Reads() as read:
        assert Expected.of(exact.float(), exact).tolerance.of_eager > 0
    assert (read.count, read_together) == (1, [3])


def test_moving_a_tensor_and_asking_how_far_answers_lie_apart_reads_nothing():
    exact = torch.rand(1000, dtype=torch.float64)
    exact[7] = math.inf
    noise = Noise(2**-23, 0, "cpu")
    with Reads() as read:
        found = apart(exact, noise.move_(exact.clone()))
    assert read.count == 0
    assert 0 < float(found[0]) <= 2**-23
