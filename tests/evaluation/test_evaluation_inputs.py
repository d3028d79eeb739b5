"""The inputs for checking a candidate keep the properties that a kernel may rely on."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.correctness import domain, inputs
from pytest_kernelbench.evaluation.correctness.domain import Level
from pytest_kernelbench.evaluation.device.traits import DEVICES
from pytest_kernelbench.evaluation.precision import PRECISIONS

KINDS = ["task", *(kind for kind in domain.KINDS if kind != domain.NON_FINITE)]


def levels(kind):
    return () if kind == "task" else [Level(kind, domain.KINDS[kind].levels[0])]


def draw_one(kind, value_of, seed=0):
    (value,) = inputs.draw(lambda: [value_of()], levels(kind), seed=seed, device="cpu")
    return value


def symmetric():
    half = torch.rand(20, 20)
    return half + half.T


def varied(value: torch.Tensor, key: int = 0) -> torch.Tensor:
    pool = inputs.factors(seed=1, signed=False, device="cpu")
    return inputs.vary(value, key, pool, torch.empty_like(value))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_values_and_another_gives_others(kind):
    first, again, other = (draw_one(kind, lambda: torch.rand(100), seed) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_signed_inputs_have_both_signs_and_the_draw_s_magnitudes():
    plain, signed = (draw_one(kind, lambda: torch.rand(1000), seed=3) for kind in ("task", "signed"))
    assert bool((plain >= 0).all())
    assert 300 < int((signed < 0).sum()) < 700
    assert torch.equal(signed.abs(), plain)


def test_scaled_inputs_are_the_draw_times_one_constant_from_four_to_eight():
    plain, scaled = (draw_one(kind, lambda: torch.rand(1000), seed=3) for kind in ("task", "scaled"))
    ratio = scaled / plain
    assert float(ratio.min()) >= 4
    assert float(ratio.max()) <= 8.0001
    assert float(ratio.max() - ratio.min()) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_that_a_task_hands_out_again_and_again_stays_as_it_is(kind):
    constant = torch.rand(50)
    before = constant.clone()
    for _ in range(2):
        one, other = inputs.draw(lambda: [constant, constant], levels(kind), seed=1, device="cpu", others=[constant])
        assert torch.equal(constant, before)
        assert kind == "task" or not torch.equal(one, constant)
        # Of some kinds, what stays of equal values is equal.
        assert kind not in ("signed", "scaled", "wide") or not torch.equal(one, other)


@pytest.mark.parametrize("kind", ["task", "signed", "scaled"])
@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_a_large_input_is_changed_in_pieces(monkeypatch, kind, pieces):
    monkeypatch.setattr(domain, "ELEMENTS_AT_ONCE", pieces)
    plain, changed = draw_one("task", lambda: torch.rand(10, 20)), draw_one(kind, lambda: torch.rand(10, 20))
    assert torch.equal((changed / plain).abs().round(), (changed / plain).abs().round()[0, 0].expand(10, 20))
    assert bool((changed < 0).any()) is (kind == "signed")


@pytest.mark.parametrize("kind", KINDS)
def test_a_symmetric_matrix_stays_symmetric(kind):
    value = draw_one(kind, symmetric)
    assert torch.equal(value, value.T)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("triangle", [torch.tril, torch.triu])
def test_a_triangular_matrix_stays_triangular(kind, triangle):
    value = draw_one(kind, lambda: triangle(torch.rand(20, 20)))
    assert torch.equal(value, triangle(value))
    assert bool((value != 0).any())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "value_of",
    [
        lambda: torch.randint(0, 10, (50,)),
        lambda: torch.randint(0, 2, (50,)).float() * 2 - 1,
        lambda: torch.rand(50) > 0.5,
        lambda: 3,
        lambda: 0.25,
        lambda: None,
    ],
    ids=["classes", "hinge targets", "mask", "an int", "a float", "None"],
)
def test_labels_masks_and_plain_values_stay_as_they_were_drawn(kind, value_of):
    plain, changed = draw_one("task", value_of, seed=5), draw_one(kind, value_of, seed=5)
    assert torch.equal(plain, changed) if isinstance(plain, torch.Tensor) else plain == changed


def test_inputs_are_contiguous():
    assert draw_one("task", lambda: torch.rand(4, 5).T).is_contiguous()


def test_what_may_be_changed_is_told_from_what_may_not():
    assert inputs.is_signal(torch.rand(5))
    assert inputs.is_signal(torch.tensor([0.0, 0.5]))
    for label in (torch.tensor([-1.0, 1.0]), torch.tensor([1, 2]), torch.empty(0), torch.tensor([True]), 0.5):
        assert not inputs.is_signal(label)


def test_one_fraction_among_whole_numbers_is_found_wherever_it_is():
    value = torch.ones(3 * inputs.FIRST)
    assert not inputs.is_signal(value)
    for place in (0, inputs.FIRST - 1, inputs.FIRST, len(value) - 1):
        assert inputs.is_signal(value.index_fill(0, torch.tensor(place), 0.5))


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(min_value=1, max_value=30), min_size=1, max_size=3),
    key=st.integers(min_value=0, max_value=2**63 - 1),
)
def test_a_refreshed_input_is_the_same_for_the_same_key_and_shrinks_within_bounds(shape, key):
    value = torch.rand(*shape, generator=torch.Generator().manual_seed(0)) + 0.1
    once, again = varied(value, key), varied(value, key)
    assert torch.equal(once, again)
    ratio = once / value
    # On a square matrix two factors meet.
    assert float(ratio.min()) >= 0.2499
    assert float(ratio.max()) <= 1.0001


def test_refreshed_inputs_differ_from_key_to_key_by_more_than_one_factor():
    value = torch.rand(1000)
    ratio = varied(value, 1) / varied(value, 2)
    assert float(ratio.max() - ratio.min()) > 0.1


def test_a_refreshed_matrix_keeps_symmetry_and_zeros():
    matrix = varied(symmetric())
    assert torch.equal(matrix, matrix.T)
    triangular = varied(torch.tril(torch.rand(20, 20)))
    assert torch.equal(triangular, torch.tril(triangular))


def test_an_input_longer_than_the_pool_of_factors_is_refreshed_to_its_end(monkeypatch):
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], n_factors=64))
    value = torch.ones(1000)
    changed = varied(value)
    assert bool((changed < 1).all())
    assert bool((changed >= 0.5).all())
    # Each stretch of it begins at another place in the pool.
    assert len({float(part[0]) for part in changed.split(64)}) > 10


def test_signed_factors_are_negative_half_of_the_time():
    plain, signed = (inputs.factors(seed=1, signed=signed, device="cpu") for signed in (False, True))
    assert float(plain.min()) >= 0.5
    assert float(plain.max()) <= 1.0
    assert float(signed.abs().min()) >= 0.5
    assert 0.45 < float((signed < 0).float().mean()) < 0.55


def of_kind(kind, value=None, level=0):
    value = torch.rand(4000, generator=torch.Generator().manual_seed(1)) if value is None else value
    return domain.change(value.clone(), [Level(kind, domain.KINDS[kind].levels[level])])


def test_each_kind_is_what_it_is_called():
    plain = torch.rand(4000, generator=torch.Generator().manual_seed(1))
    wide, offset, negative, positive = map(of_kind, ("wide", "offset", "negative", "positive"))
    assert float(wide.abs().max()) > 1000
    assert 0.4 < float((wide < 0).float().mean()) < 0.6
    assert 99.9 < float(offset.min()) < float(offset.max()) < 110
    assert bool((negative < 0).all())
    assert bool((positive > 0).all())
    assert torch.equal(of_kind("positive", -plain), positive)
    ties, dominating, tiny = map(of_kind, ("ties", "dominating", "tiny"))
    assert len(ties.unique()) <= 8
    assert bool((ties != 0).all())
    assert int((dominating > 100).sum()) == 1
    assert torch.equal(dominating[dominating < 100], plain[dominating < 100])
    assert float(tiny.max()) < 0.004
    assert int(of_kind("non-finite").isnan().sum()) == 1


@pytest.mark.parametrize("kind", domain.KINDS)
def test_an_input_with_a_mask_of_minus_infinity_has_every_kind(kind):
    value = torch.rand(64)
    value[7] = -math.inf
    assert of_kind(kind, value).shape == value.shape


def test_several_kinds_share_the_first_dimension():
    kinds = [Level("negative", 1.0), Level("offset", 1.0), Level("tiny", 1e-3)]
    value = domain.change(torch.rand(9, 50) + 0.01, kinds)
    assert bool((value[:3] < 0).all())
    assert bool((value[3:6] > 99).all())
    assert bool((value[6:] < 0.01).all())


@pytest.mark.parametrize("value", [torch.tensor(0.5), symmetric()], ids=["number", "symmetric"])
def test_what_has_no_rows_of_its_own_is_of_one_kind(value):
    changed = domain.change(value.clone(), [Level("negative", 1.0), Level("offset", 1.0)])
    assert torch.equal(changed, -value)


def test_inputs_come_in_the_declared_precision_and_labels_stay():
    draw = [torch.rand(10), torch.arange(3), 2]
    for name, dtype in (("bfloat16", torch.bfloat16), ("float16", torch.float16), ("tf32", torch.float32)):
        value, label, number = inputs.draw(lambda: draw, seed=0, device="cpu", precision=PRECISIONS[name])
        assert (value.dtype, label.dtype, number) == (dtype, torch.int64, 2)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (4, 4), (2, 3, 4)])
@pytest.mark.parametrize("at_once", [1, 30, 1000])
def test_many_tensors_that_are_varied_together_are_each_as_if_varied_alone(monkeypatch, device, shape, at_once):
    monkeypatch.setattr(inputs, "AT_ONCE", at_once)
    pool = inputs.factors(seed=1, signed=True, device=device)
    originals = torch.rand(2, *shape, device=device).unbind()
    values, keys = [originals[number % 2] for number in range(9)], [number << 40 for number in range(9)]
    rows = list(torch.zeros(9, 2 * originals[0].numel(), device=device)[:, ::2].unbind())
    assert inputs.vary_rows(values, keys, pool, rows)
    for value, key, row in zip(values, keys, rows, strict=True):
        assert torch.equal(inputs.vary(value, key, pool, torch.empty_like(value)).view(-1), row)


def test_more_elements_than_half_of_the_factors_are_not_varied_together():
    values, rows = [torch.rand(6)] * 2, list(torch.zeros(2, 6).unbind())
    assert not inputs.vary_rows(values, [1, 2], torch.rand(11), rows)
    assert not torch.stack(rows).any()
    assert inputs.vary_rows(values, [1, 2], torch.rand(12), rows)
