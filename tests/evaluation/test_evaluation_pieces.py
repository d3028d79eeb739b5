"""Tensors in pieces, and what is found in them: the same as in the whole."""

import math
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_kernelbench.evaluation.correctness import pieces as module
from pytest_kernelbench.evaluation.correctness.comparison import Expected, Tolerance
from pytest_kernelbench.evaluation.correctness.pieces import all_finite, count_nan, equal, pieces
from pytest_kernelbench.evaluation.correctness.rounding import spread_of
from pytest_kernelbench.evaluation.correctness.scalars import largest_of
from pytest_kernelbench.evaluation.device.required import _the_same
from pytest_kernelbench.evaluation.layouts import alike

TOLERANCE = Tolerance(kernelbench=0.1, rounding=1e-6, of_eager=0.0, of_eager_rms=0.0, eager_floor=0.0)


@pytest.fixture(params=[3, 8, 100])
def at_once(request, monkeypatch):
    """Pieces of so many elements."""
    return lambda: monkeypatch.setattr(module, "ON_A_CPU", request.param)


def test_pieces_are_flat_side_by_side_and_hold_each_element_once(at_once):
    at_once()
    one, other = torch.arange(10.0).view(5, 2), torch.arange(10.0, 20.0).view(5, 2).t().contiguous().t()
    found = list(pieces(one, other))
    assert torch.equal(torch.cat([part for part, _ in found]), one.flatten())
    assert torch.equal(torch.cat([part for _, part in found]), other.flatten())


@pytest.mark.parametrize("special", [None, float("inf"), float("nan")])
@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_the_spread_of_pieces_is_the_spread_of_the_whole(at_once, special, scale):
    exact = torch.linspace(-3, 5, 20, dtype=torch.float64).mul_(scale)
    beside = exact + torch.linspace(0, 1e-6, 20, dtype=torch.float64)
    if special is not None:
        exact[7] = beside[11] = special
    whole = spread_of(exact, beside)
    at_once()
    assert spread_of(exact, beside) == pytest.approx(whole, rel=1e-12)


def test_of_equal_errors_in_several_pieces_the_first_is_told(at_once):
    exact = torch.ones(20)
    due = Expected(exact, TOLERANCE)
    whole = due.objection(exact + 1)
    at_once()
    assert due.objection(exact + 1) == whole
    assert "(element 0 is 2, not 1)" in whole


@pytest.mark.parametrize("special", [None, float("inf"), -float("inf"), float("nan")])
def test_questions_about_pieces_have_the_answers_about_the_whole(at_once, special):
    one = torch.linspace(-3, 5, 20)
    if special is not None:
        one[7] = special
    other = one.clone()
    other[11] += 1
    at_once()
    assert all_finite(one) is (special is None)
    assert count_nan(one) == int(special is not None and math.isnan(special))
    assert largest_of(one) == 5
    assert equal(one, one.clone()) is torch.equal(one, one.clone())
    assert alike(one, one.clone()) and _the_same(one, one.clone())
    assert not equal(one, other) and not alike(one, other)
    # Beside an infinity, every difference is rounding.
    assert _the_same(one, other) is (special is not None and math.isinf(special))
    assert not equal(one, one[:10]) and not alike(one, one[:10])


def test_of_no_elements_nothing_is_infinite_or_large():
    assert all_finite(torch.empty(0)) and largest_of(torch.empty(0)) == 0 and equal(torch.empty(0), torch.empty(0))
    assert _the_same(torch.empty(0), torch.empty(0))


class Allocations(TorchDispatchMode):
    """Notes the largest tensor that an operator makes; a view makes none."""

    largest_bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if not any(returned.alias_info for returned in function._schema.returns):
            for each in made if isinstance(made, (tuple, list)) else [made]:
                if isinstance(each, torch.Tensor):
                    self.largest_bytes = max(self.largest_bytes, each.nbytes)
        return made


@contextmanager
def makes_no_tensor_as_large_as(tensor):
    with Allocations() as made:
        yield
    assert 0 < made.largest_bytes < tensor.nbytes / 8


def test_no_pass_over_a_large_answer_makes_another_tensor_of_its_size(monkeypatch):
    """An answer of 7 GB left no memory for a judge on a card of 80 GB, where a pass needed two more of that size."""
    monkeypatch.setattr(module, "ON_A_CPU", 1 << 10)
    answer = torch.rand(1 << 19)
    wrong = answer + 1
    holed = answer.clone()
    holed[1 << 14 :: 1 << 14] = float("nan")
    tolerance, exact = replace(TOLERANCE, of_largest=1e-5), answer.double()
    with makes_no_tensor_as_large_as(answer):
        due = Expected.of(answer, exact, tolerance)
    for got in (wrong, holed):
        with makes_no_tensor_as_large_as(answer):
            assert due.objection(got)
        with makes_no_tensor_as_large_as(answer):
            assert not alike(answer, got)
    with makes_no_tensor_as_large_as(answer):
        assert not _the_same(answer, wrong)
