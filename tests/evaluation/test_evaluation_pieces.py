"""Tensors in pieces, and what is found in them: the same as in the whole."""

import pytest
import torch

from pytest_kernelbench.evaluation.correctness import pieces as module
from pytest_kernelbench.evaluation.correctness.comparison import Expected, Tolerance
from pytest_kernelbench.evaluation.correctness.pieces import pieces
from pytest_kernelbench.evaluation.correctness.rounding import spread_of

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
    due = Expected(exact, TOLERANCE, 1.0, 1.0)
    whole = due.objection(exact + 1)
    at_once()
    assert due.objection(exact + 1) == whole
    assert "(element 0 is 2, not 1)" in whole
