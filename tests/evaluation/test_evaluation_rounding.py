"""How far the answers to problems lie apart that differ by a rounding."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.correctness.rounding import Noise, move, spread_of

EPS = 2**-23


def spread(function, *inputs, seed=0):
    given = [value.double() for value in inputs]
    noise = Noise(EPS, seed, "cpu")
    moved = move(torch.nn.Identity(), given, noise)
    exact = function(*given)
    with noise:
        beside = function(*moved)
    return spread_of(exact, beside)


def drawn(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3))


def test_where_large_terms_cancel_the_answers_lie_apart_by_roundings_of_the_terms():
    x, w, b = drawn(64, 100), drawn(100, 50) / 25, torch.zeros(50)
    plain = spread(lambda x, w, b: x @ w + b, x, w, b)
    cancelled = spread(lambda x, w, b: (x @ w + b - 1) * 1.5, x, w, b)
    far = spread(lambda x, w, b: x @ w + b - 1 + 1e4 - 1e4, x, w, b)
    assert plain.relative < 4 * EPS
    assert cancelled.relative > 1.5 * plain.relative
    assert far.largest > 5e3 * EPS


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 3000), seed=st.integers(0, 2**31), unit=st.sampled_from([2**-23, 2**-10, 2**-7]))
def test_noise_moves_each_element_by_at_most_a_unit_and_leaves_zeros(size, seed, unit):
    value = torch.rand(size, dtype=torch.float64)
    value[::3] = 0
    moved = Noise(unit, seed, "cpu").move_(value.clone())
    assert bool(((moved - value).abs() <= unit * value.abs()).all())
    again = Noise(unit, seed, "cpu").move_(value.clone())
    assert torch.equal(moved, again)


def test_results_in_place_are_moved_once_and_views_are_not_moved_again():
    x = torch.ones(1000, dtype=torch.float64)
    with Noise(EPS, 1, "cpu"):
        viewed = x.view(10, 100).T.reshape(-1)[::2]
        assert torch.equal(viewed, torch.ones(500, dtype=torch.float64))
        doubled = torch.ones(1000, dtype=torch.float64).mul_(2)
        filled = torch.full((1000,), 3.0, dtype=torch.float64)
    assert 0 < float((doubled - 2).abs().max()) <= 2 * EPS
    assert float((filled - 3).abs().max()) == 0


def test_transposed_and_complex_tensors_are_moved_too():
    noise = Noise(EPS, 1, "cpu")
    transposed = torch.ones(30, 20, dtype=torch.float64).T
    assert 0 < float((noise.move_(transposed) - 1).abs().max()) <= EPS
    wave = torch.ones(50, dtype=torch.complex128)
    assert 0 < float((noise.move_(wave) - 1).abs().max()) <= 2 * EPS


def test_a_model_s_parameters_are_moved_and_what_it_draws_at_random_is_the_same():
    model = torch.nn.Sequential(torch.nn.Linear(40, 40), torch.nn.Dropout(0.5)).double()
    x = torch.rand(20, 40, dtype=torch.float64)
    other, noise = copy.deepcopy(model), Noise(EPS, 2, "cpu")
    moved = move(other, [x], noise)
    assert not torch.equal(model[0].weight, other[0].weight)
    torch.manual_seed(0)
    plain = model(x)
    torch.manual_seed(0)
    with noise:
        beside = other(*moved)
    assert torch.equal(plain == 0, beside == 0)
    assert float((plain - beside).detach().abs().max()) < 1e-5


@pytest.mark.parametrize("exact", [torch.empty(0), torch.zeros(4), torch.tensor([1.0, float("inf"), float("nan")])])
def test_what_is_empty_zero_or_infinite_has_no_spread(exact):
    assert spread_of(exact.double(), exact.double()) == (0.0, 0.0, 0.0)


def test_a_mask_of_minus_infinity_is_not_moved():
    scores = torch.rand(8, 50, 50, dtype=torch.float64)
    mask = torch.ones(50, 50, dtype=torch.bool).triu(1)
    with Noise(EPS, 1, "cpu"):
        moved = scores.masked_fill(mask, float("-inf")) * 1.0
        shares = moved.softmax(-1)
    assert bool((moved[:, mask] == float("-inf")).all())
    exact = scores.masked_fill(mask, float("-inf")).softmax(-1)
    assert 0 < spread_of(exact, shares).largest < 1e-5


# The squares of smaller ones are 0, in torch's norm as well, if not of one value alone.
SQUARED = st.floats(-100, 100).filter(lambda value: value == 0 or abs(value) > 1e-150)
VALUES = SQUARED | st.sampled_from([0.0, float("nan"), float("inf"), -float("inf")])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=6))
def test_a_spread_is_of_the_finite_distances_beside_the_finite_sizes(pairs):
    exact, beside = (torch.tensor(each, dtype=torch.float64) for each in zip(*pairs, strict=True))
    before = exact.clone(), beside.clone()
    found = spread_of(exact, beside)
    finite = [x if math.isfinite(x) else 0.0 for x, _ in pairs]
    apart = [abs(y - x) if math.isfinite(y - x) else 0.0 for x, y in pairs]
    rms = math.sqrt(math.fsum(x * x for x in finite) / len(pairs))
    shares = [distance / (abs(x) + rms) if abs(x) + rms > 0 else 0.0 for x, distance in zip(finite, apart, strict=True)]
    assert found.largest == max(apart)
    assert found.relative == pytest.approx(max(shares), rel=1e-12)
    assert found.rms == pytest.approx(math.sqrt(math.fsum(each * each for each in apart) / len(pairs)), rel=1e-9)
    assert all(
        torch.equal(now.nan_to_num(), then.nan_to_num()) for now, then in zip((exact, beside), before, strict=True)
    )


def test_infinity_that_is_moved_stays_infinity_and_its_neighbours_are_moved():
    value = torch.full((100,), 2.0, dtype=torch.float64)
    value[7], value[8] = float("inf"), -float("inf")
    moved = Noise(EPS, 0, "cpu").move_(value.clone())
    assert moved[7] == float("inf") and moved[8] == -float("inf")
    assert bool((moved[:7] != 2).all()) and bool(moved.isnan().logical_not().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inputs_are_moved_in_copies_of_double_precision(dtype):
    given = [torch.rand(50).to(dtype), torch.arange(3)]
    before = [each.clone() for each in given]
    floats, whole = move(torch.nn.Identity(), given, Noise(EPS, 0, "cpu"))
    assert floats.dtype is torch.float64 and not torch.equal(floats, given[0].double())
    assert whole is given[1]
    assert all(torch.equal(now, then) for now, then in zip(given, before, strict=True))
