"""Is an output right?"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kernelbench.evaluation.correctness import pieces
from pytest_kernelbench.evaluation.correctness.comparison import Expected, Sizes, Tolerance
from pytest_kernelbench.evaluation.correctness.rounding import Spread
from pytest_kernelbench.evaluation.precision import PRECISIONS

WIDE = 400_000


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def expected(operator, *inputs: torch.Tensor, precision: str = "float32") -> Expected:
    exact = operator(*(value.double() for value in inputs))
    return Expected.of(operator(*inputs), exact, precision=PRECISIONS[precision])


def rounded_to_tf32(value: torch.Tensor) -> torch.Tensor:
    """Ten bits of mantissa, as tensor cores keep."""
    return (value.view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32)


def softmax(x: torch.Tensor) -> torch.Tensor:
    return torch.softmax(x, dim=-1)


def test_zeros_for_a_wide_softmax_are_wrong():
    x = drawn(4, WIDE).clamp(0, 1)
    wide = expected(softmax, x)
    assert torch.allclose(torch.zeros_like(x), softmax(x), atol=1e-4, rtol=1e-4)
    objection = wide.objection(torch.zeros_like(x))
    assert objection is not None
    assert objection.startswith("error ")


def test_a_uniform_answer_for_a_wide_softmax_is_wrong():
    x = drawn(4, WIDE)
    assert expected(softmax, x).objection(torch.full_like(x, 1 / WIDE)) is not None


def test_half_of_a_mean_is_wrong_where_a_fixed_tolerance_accepts_it():
    x = drawn(1, 4_000_000).abs()
    by_half = x[:, ::2].mean(dim=1)
    assert expected(lambda x: x.mean(dim=1), x).objection(by_half) is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_less_than_the_declared_precision_is_wrong_for_an_elementwise_operator(dtype):
    x = drawn(100_000)
    got = torch.sigmoid(x.to(dtype)).float()
    assert expected(torch.sigmoid, x).objection(got) is not None


@pytest.mark.parametrize("narrowed", [rounded_to_tf32, lambda x: x.half().float(), lambda x: x.bfloat16().float()])
def test_less_than_the_declared_precision_is_wrong_for_a_matrix_product(narrowed):
    a, b = drawn(200, 300), drawn(300, 250, seed=1)
    assert expected(torch.matmul, a, b).objection(narrowed(a) @ narrowed(b)) is not None


@pytest.mark.parametrize("length", [1_000, 30_000])
def test_a_sum_in_plain_order_is_right(length):
    x = drawn(8, length, seed=length)
    # cumsum adds one element after the other in float32, as a naive loop in C does.
    in_order = torch.from_numpy(np.cumsum(x.numpy(), axis=1, dtype=np.float32)[:, -1].copy())
    assert expected(lambda x: x.sum(dim=1), x).objection(in_order) is None


@pytest.mark.parametrize(
    "other",
    [
        lambda x: torch.exp(x) / torch.exp(x).sum(dim=-1, keepdim=True),
        lambda x: torch.exp(x - torch.logsumexp(x, dim=-1, keepdim=True)),
    ],
    ids=["naive", "logsumexp"],
)
def test_another_algorithm_at_the_declared_precision_is_right(other):
    x = drawn(16, 2_000)
    assert expected(softmax, x).objection(other(x)) is None


def test_a_wrong_element_is_reported_with_its_numbers():
    exact = torch.tensor([1.0, 2.0, 3.0])
    of_three = Expected.of(exact, exact.double())
    assert (
        of_three.objection(torch.tensor([1.0, 2.5, 3.0]))
        == "error 0.5 where 3.17e-05 is allowed (element 1 is 2.5, not 2)"
    )


def test_one_wrong_element_among_many_is_found():
    x = drawn(1_000_000)
    relu = expected(torch.relu, x)
    got = torch.relu(x)
    assert relu.objection(got) is None
    got[777_777] += 0.01
    assert "element 777777" in relu.objection(got)


def test_an_error_is_near_if_it_is_so_for_its_element_although_nearly_all_others_are_zero():
    exact = torch.zeros(10_000)
    exact[7] = 1.0
    due = expected(torch.clone, exact)
    unit = 2.0**-23
    near, far = exact * (1 + 1000 * unit), exact * (1 + 4000 * unit)
    assert due.objection(near) is not None and due.objection(far) is not None
    assert due.is_near(near, 30.0) and not due.is_near(far, 30.0)
    far[8] = near[8] = 1e-3
    assert not due.is_near(near, 30.0)


def test_an_error_that_no_element_shows_is_found_in_the_mean_square():
    exact = drawn(10_000).double()
    tolerance = Tolerance(kernelbench=1e-4, rounding=0.0, of_eager=1e-4, of_eager_rms=1e-7, eager_floor=0.0)
    of_known = Expected.of(exact.float(), exact, tolerance)
    objection = of_known.objection((exact + 5e-5).float())
    assert objection.startswith("root mean square error 5e-05 where 1")


def test_nan_belongs_where_the_reference_has_it_and_nowhere_else():
    exact = torch.tensor([1.0, float("nan"), 3.0])
    with_nan = Expected.of(exact, exact.double())
    assert with_nan.objection(exact.clone()) is None
    assert with_nan.objection(torch.tensor([1.0, 2.0, 3.0])) == "0 NaN where 1 are due"
    assert with_nan.objection(torch.tensor([float("nan"), 2.0, 3.0])) == "1 NaN where 1 are due"
    assert with_nan.objection(torch.full((3,), float("nan"))) == "3 NaN where 1 are due"


def test_infinities_must_agree_in_place_and_sign():
    infinity = float("inf")
    exact = torch.tensor([1.0, infinity, -infinity])
    with_infinities = Expected.of(exact, exact.double())
    assert with_infinities.objection(exact.clone()) is None
    for wrong in ([1.0, -infinity, -infinity], [1.0, infinity, 1e30], [infinity, infinity, -infinity]):
        assert with_infinities.objection(torch.tensor(wrong)) == "infinities differ"
    assert with_infinities.objection(torch.tensor([1.5, infinity, -infinity])) is not None


def test_unwritten_output_is_wrong():
    x = drawn(1_000)
    assert expected(torch.relu, x).objection(torch.full_like(x, float("nan"))) == "1000 NaN where 0 are due"


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_integers_are_compared_exactly(dtype):
    exact = torch.tensor([1, 2, 3], dtype=dtype)
    indices = Expected.of(exact, exact)
    assert indices.objection(exact.clone()) is None
    assert indices.objection(torch.tensor([1, 3, 2], dtype=dtype)) == "2 of 3 integers differ"


def test_booleans_are_compared_exactly():
    exact = torch.tensor([True, False])
    assert Expected.of(exact, exact).objection(exact.clone()) is None
    assert Expected.of(exact, exact).objection(~exact) == "2 of 2 integers differ"


def test_an_empty_output_is_right():
    assert Expected.of(torch.empty(0), torch.empty(0).double()).objection(torch.empty(0)) is None


@pytest.mark.parametrize(("off", "right"), [(0.5e-4, True), (2e-2, False)])
def test_without_a_float64_answer_kernelbench_s_tolerance_holds(off, right):
    eager = drawn(1_000)
    only_eager = Expected.of(eager, None)
    assert (only_eager.objection(eager + off) is None) is right


def test_all_zeros_are_right_where_zeros_are_due():
    zeros = torch.zeros(100)
    assert Expected.of(zeros, None).objection(zeros.clone()) is None
    assert Expected.of(zeros, zeros.double()).objection(zeros.clone()) is None
    assert Expected.of(zeros, zeros.double()).objection(zeros + 1e-6) is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_tasks_get_the_tolerance_of_their_own_precision(dtype):
    x = drawn(10_000).to(dtype)
    half = expected(torch.sigmoid, x)
    assert half.objection(torch.sigmoid(x.float()).to(dtype)) is None
    assert half.objection(torch.sigmoid(x.float()).to(dtype) + 0.05) is not None


OPERATORS = {
    "relu": torch.relu,
    "softmax": softmax,
    "gelu": torch.nn.functional.gelu,
    "sum": lambda x: x.sum(dim=-1),
    "variance": lambda x: x.var(dim=-1),
    "gram": lambda x: x @ x.T,
    "cumsum": lambda x: x.cumsum(dim=-1),
    "cumprod": lambda x: x.cumprod(dim=-1),
    "norm": lambda x: x / x.norm(),
    "log": torch.log,
}


@settings(max_examples=60, deadline=None)
@given(
    operator=st.sampled_from(sorted(OPERATORS)),
    rows=st.integers(min_value=1, max_value=8),
    columns=st.integers(min_value=2, max_value=2_000),
    scale=st.sampled_from([1e-6, 1e-2, 1.0, 50.0, 1e4]),
    seed=st.integers(min_value=0, max_value=2**31),
)
def test_eager_pytorch_itself_is_always_right(operator, rows, columns, scale, seed):
    x = drawn(rows, columns, seed=seed) * scale
    of_x = expected(OPERATORS[operator], x)
    assert of_x.objection(OPERATORS[operator](x)) is None


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(min_value=0, max_value=2**31), place=st.integers(min_value=0, max_value=999))
def test_a_tenth_off_is_never_right(seed, place):
    x = drawn(1_000, seed=seed)
    got = torch.sigmoid(x)
    got[place] *= 1.1
    assert f"(element {place} is" in expected(torch.sigmoid, x).objection(got)


def test_where_terms_cancel_the_yardstick_is_eager_s_own_error():
    terms = torch.randn(1 << 20) * torch.randn(1 << 20)
    expected = Expected.of(terms.sum()[None], terms.double().sum()[None])
    assert expected.tolerance is not None
    off = 3 * expected.tolerance.uncapped().everywhere(Sizes(0.0, 0.0))
    loose = Expected(expected.exact, expected.tolerance.uncapped())
    assert loose.objection((expected.exact + off / 4).float()) is None
    assert loose.objection((expected.exact + 2 * off).float() + 1) is not None


def test_a_sum_that_comes_out_near_zero_may_be_off_by_a_rounding_of_its_terms():
    """The tolerance is of a draw whose sum is 16 and was exact; of the next draw the same 257 terms nearly cancel."""
    of_another_draw = Tolerance.measured(
        torch.tensor(16.0), torch.tensor(16.0, dtype=torch.float64), spread=Spread(2e-6, 6e-8, 2e-6)
    ).uncapped()
    expected = Expected.of(torch.tensor(9.5e-7), None, of_another_draw)
    assert expected.objection(torch.tensor(1.7e-6)) is None
    assert expected.objection(torch.tensor(1e-3)) is not None


def test_without_a_float64_answer_the_limit_stays():
    eager = torch.ones(3)
    assert Tolerance.measured(eager, None).uncapped() == Tolerance.measured(eager, None)


@pytest.mark.parametrize("spoil", [None, 0, 6, 7, 29])
@pytest.mark.parametrize("odd", [None, float("nan"), float("inf")])
def test_what_is_compared_in_pieces_is_judged_as_the_whole(monkeypatch, spoil, odd):
    x = drawn(5, 6)
    if odd is not None:
        x[2, 3] = odd
    got = torch.tanh(x)
    if spoil is not None:
        got.view(-1)[spoil] += 0.5

    whole = expected(torch.tanh, x)
    said_of_whole = whole.objection(got)
    monkeypatch.setattr(pieces, "ON_A_CPU", 7)
    in_pieces = expected(torch.tanh, x)

    assert in_pieces.tolerance.of_eager == whole.tolerance.of_eager
    assert in_pieces.tolerance.of_eager_rms == pytest.approx(whole.tolerance.of_eager_rms, rel=1e-12)
    assert in_pieces.objection(got) == said_of_whole
    assert (said_of_whole is None) == (spoil is None)
    assert said_of_whole is None or f"(element {spoil} is " in said_of_whole


def test_where_all_terms_cancel_what_is_left_of_them_is_allowed():
    exact = torch.zeros(64, 1, dtype=torch.float64)
    expected = Expected.of(exact.float(), exact, spread=Spread(3e-7, 0.0, 1e-7))
    assert expected.objection(torch.full((64, 1), 1e-7)) is None
    assert expected.objection(torch.full((64, 1), 1e-3)) is not None


def test_where_one_value_dominates_a_share_of_it_is_allowed_to_any_element():
    exact = torch.rand(1000, dtype=torch.float64) + 0.5
    exact[7] = 1e4
    off = exact.float() + 0.02
    plain = Expected.of(exact.float(), exact)
    of_largest = Expected.of(exact.float(), None, plain.tolerance.uncapped().that_forgives(1e-4).of_the_largest(3e-5))
    assert plain.objection(off) is not None
    assert of_largest.objection(off) is None
    assert of_largest.objection(off + 0.5) is not None
