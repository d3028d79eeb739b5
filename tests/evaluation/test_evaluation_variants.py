"""The four models of a reference, kept where they are small and made again where they are not."""

import pytest
import torch

from pytest_kernelbench.evaluation.correctness import variants
from pytest_kernelbench.evaluation.correctness.variants import Variants

X = torch.rand(2, 3, dtype=torch.float64)


@pytest.fixture(params=[0, 1 << 28], ids=["large", "small"])
def model(request, monkeypatch):
    monkeypatch.setattr(variants, "KEPT_BYTES", request.param)
    return torch.nn.Linear(3, 3)


@torch.no_grad()
def test_moved_and_widened_models_are_the_same_each_time(model):
    made = Variants(model, seed=4)
    weight = model.weight.clone()
    for moved in (False, True):
        plain, exact = made.of(moved=moved), made.of(moved=moved, widened=True)
        assert (plain.weight.dtype, exact.weight.dtype) == (torch.float32, torch.float64)
        assert torch.equal(plain.weight.double(), exact.weight)
        assert torch.equal(plain.weight, weight) is not moved
        assert torch.equal(made.of(moved=moved, widened=True)(X), exact(X))
    assert torch.equal(model.weight, weight)


@torch.no_grad()
@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("widened", [False, True])
def test_what_is_done_to_a_fresh_one_changes_none_of_them(model, moved, widened):
    made = Variants(model, seed=4)
    before = made.of(moved=moved, widened=widened).weight.clone()
    made.fresh(moved=moved, widened=widened).weight.zero_()
    assert torch.equal(made.of(moved=moved, widened=widened).weight, before)


def test_small_ones_are_kept_and_large_ones_are_not(model, request):
    made = Variants(model, seed=4)
    kept = made.of(moved=True, widened=True) is made.of(moved=True, widened=True)
    assert kept is (variants.KEPT_BYTES > 0)
    assert made.of() is model


def test_without_parameters_no_variant_is_moved():
    relu = torch.nn.ReLU()
    made = Variants(relu, seed=4)
    assert not made.can_move
    assert made.of(moved=True) is relu
