"""What every kernel for a task must do: never more than an algebraic trick leaves."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.device.required import STRASSEN, required
from pytest_kernelbench.tasks import load_tasks, with_sizes

A, B = torch.randn(6, 8), torch.randn(8, 10)
W = torch.randn(16, 8)
IMAGE = torch.rand(2, 3, 12, 12) + 0.1


def needed(run, *inputs):
    def outputs_of(values):
        found = run(*values)
        return list(found) if isinstance(found, tuple) else [found]

    others = [torch.rand_like(each) + 0.1 for each in inputs]
    return required(outputs_of, inputs, outputs_of(others))


def products(run, *inputs):
    return needed(run, *inputs).products / STRASSEN


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda a, b: a @ b, 6 * 8 * 10),
        (lambda a, b: torch.einsum("ij,jk->ik", a, b), 6 * 8 * 10),
        (lambda a, b: F.linear(a, b.T, torch.ones(10)), 6 * 8 * 10),
        (lambda a, b: (a @ b).T.contiguous() * 2 + 1, 6 * 8 * 10),
        (lambda a, b: (a @ b, a @ b), 6 * 8 * 10),
        (lambda a, b: (a @ b, a @ -b), 2 * 6 * 8 * 10),
        (lambda a, b: torch.relu(a @ b), 6 * 8 * 10),
        (lambda a, b: F.gelu(a @ b).sum(), 6 * 8 * 10),
        (lambda a, b: torch.softmax(a @ b, -1), 6 * 8 * 10),
        (lambda a, b: F.layer_norm(a @ b, (10,)), 6 * 8 * 10),
        (lambda a, b: (a @ b)[:, :5], 6 * 8 * 5),
        (lambda a, b: a @ b + a @ (b * b), 6 * 8 * 10),
    ],
    ids=[
        *("mm", "einsum", "linear", "moved", "the same twice", "two", "relu", "summed after gelu", "softmax", "norm"),
        *("a part", "two added"),
    ],
)
def test_a_matrix_product_that_is_seen_or_that_no_line_follows_takes_its_products(run, expected):
    assert products(run, A, B) == pytest.approx(expected)


@pytest.mark.parametrize(
    "run",
    [
        lambda a, b: (a @ b).sum(),
        lambda a, b: (a @ b).mean(0),
        lambda a, b: F.layer_norm(a @ b, (10,)).mean(1),
        lambda a, b: (a @ b) @ b.T,
        lambda a, b: torch.relu((a @ b) + 1e4).sum(),
        lambda a, b: torch.tanh((a @ b) * 1e-5).sum(),
        lambda a, b: torch.clamp(a @ b, min=1e6),
        lambda a, b: torch.where(a @ b > 0, torch.ones(()), 0.0),
        lambda a, b: F.dropout(a @ b, 0.5, training=True),
        lambda a, b: a.expand(3, 6, 8) @ b,
        lambda a, b: (a @ b) * 0.0,
        lambda a, b: torch.maximum(a @ b, torch.full((), 1e6)),
    ],
    ids=[
        *("sum", "mean", "mean of a norm", "two products in one", "relu of what is positive", "tanh near zero"),
        *("clamped away", "where", "dropout", "repeated", "times zero", "the larger of it and a number"),
    ],
)
def test_a_product_that_a_kernel_may_do_without_counts_for_nothing(run):
    assert products(run, A, B) == 0


def test_products_with_a_structural_zero_need_not_be_formed():
    n = 16
    diagonal, dense = torch.diag(torch.rand(n) + 1), torch.rand(n, n) + 1
    assert products(lambda a, b: a @ b, diagonal, dense) == pytest.approx(n * n)
    lower = torch.tril(dense)
    assert products(lambda a, b: a @ b, lower, lower.clone()) == pytest.approx(
        sum(1 for i in range(n) for j in range(n) for k in range(n) if j <= k <= i)
    )


def test_of_layers_each_counts_with_the_units_that_are_not_zero():
    def layers(x):
        return torch.relu(x @ W.T) @ torch.ones(16, 4)

    alive = int(torch.relu(A @ W.T).count_nonzero())
    assert products(layers, A) == pytest.approx(6 * 8 * 16 + alive * 4)


@pytest.mark.parametrize(
    ("layer", "points"),
    [
        (nn.Conv2d(3, 5, 3, padding=1), 12 * 12),
        (nn.Conv2d(3, 5, 11, padding=5), 12 * 12),
        (nn.Conv2d(3, 5, 3), 10 * 10),
        (nn.Conv2d(3, 5, 3, stride=2), 5 * 5),
        (nn.Conv2d(3, 5, 1, padding=4), 12 * 12),
        (nn.ConvTranspose2d(3, 5, 3, stride=2), 12 * 12),
        (nn.ConvTranspose2d(3, 5, 1, padding=5), 2 * 2),
    ],
    ids=["3x3", "11x11", "unpadded", "strided", "padded beyond its kernel", "transposed", "transposed and cut"],
)
def test_a_convolution_takes_one_product_a_point_and_pair_of_channels_whatever_its_kernel(layer, points):
    with torch.no_grad():
        for run in (layer, lambda x: torch.sigmoid(layer(x))):
            assert products(run, IMAGE) == pytest.approx(2 * points * 3 * 5, rel=1e-6)


def test_groups_mix_only_their_own_channels():
    layer = nn.Conv2d(4, 8, 3, padding=1, groups=2)
    image = torch.rand(2, 4, 6, 6) + 0.1
    assert products(layer, image) == pytest.approx(2 * 36 * 2 * 8)
    depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    assert products(depthwise, image) == pytest.approx(2 * 36 * 4)


@settings(deadline=None, max_examples=30)
@given(size=st.integers(4, 24), kernel=st.integers(1, 7), stride=st.integers(1, 3))
def test_a_convolution_s_floor_is_under_what_winograd_and_fourier_need(size, kernel, stride):
    if kernel > size:
        return
    layer = nn.Conv1d(2, 3, kernel, stride=stride)
    image = torch.rand(1, 2, size) + 0.1
    outputs = layer(image).shape[-1]
    # One phase of the stride at least: m outputs of r taps by m + r - 1 products, or by a transform of real numbers.
    taps = -(-kernel // stride)
    winograd = outputs + taps - 1
    fourier = 3 * (size // 2 + 1) if stride == 1 else winograd
    assert needed(layer, image).products <= 2 * 3 * min(winograd, fourier)


def test_a_convolution_that_is_averaged_counts_for_nothing():
    layer = nn.Conv2d(3, 5, 3)
    assert products(lambda x: layer(x).mean((2, 3)), IMAGE) == 0
    assert products(lambda x: F.adaptive_avg_pool2d(layer(x), 1), IMAGE) == 0


def test_of_what_a_pool_or_a_slice_passes_over_nothing_is_read():
    assert needed(lambda x: F.max_pool2d(x, 1, 2), IMAGE).read == {0: 0.25}
    assert needed(lambda x: x[:, :1].exp(), IMAGE).read[0] == pytest.approx(1 / 3)
    assert needed(lambda x: F.max_pool2d(x, 3, 2), IMAGE).read == {0: 1.0}


def test_an_output_that_is_the_same_for_all_inputs_needs_none_of_them():
    gemm = nn.Linear(8, 10)

    def of_a_level_2_task(x):
        x = gemm(x).max(dim=1, keepdim=True).values
        return F.gelu(x - x.mean(dim=1, keepdim=True))

    assert (needed(of_a_level_2_task, A).products, needed(of_a_level_2_task, A).read) == (0, {})
    norm = nn.GroupNorm(2, 4)
    assert needed(lambda x: norm(x).mean((1, 2, 3)), torch.rand(2, 4, 6, 6)).read == {}


def test_an_output_whose_shape_depends_on_values_is_not_the_same_for_all_inputs():
    read = required(lambda values: [values[0][values[0] > 0]], [torch.tensor([1.0, -1.0])], [torch.ones(2)]).read
    assert read == {0: 1.0}


def test_writing_into_a_part_leaves_a_past_that_is_not_relied_on():
    def overwritten(a, b):
        c = a @ b
        c[:, 3:] = 0.0
        return c

    assert products(overwritten, A, B) == 0


def test_what_is_copied_into_other_memory_keeps_its_past():
    def copied(x):
        other = torch.empty_strided(x.shape, x.to(memory_format=torch.channels_last).stride())
        return torch.relu(other.copy_(x))

    assert needed(copied, IMAGE).read == {0: 1.0}
    layer = nn.Conv2d(3, 5, 1).to(memory_format=torch.channels_last)
    assert products(lambda x: layer(x.contiguous(memory_format=torch.channels_last)), IMAGE) == pytest.approx(
        2 * 144 * 15
    )


def test_a_fused_block_counts_what_its_convolution_forms():
    conv, bias = nn.Conv2d(3, 16, 3), torch.randn(16, 1, 1)

    def conv_relu_bias(x):
        return torch.relu(conv(x)) + bias

    def block(x):
        return F.max_pool2d(F.hardswish(conv(x) - 0.5), 2)

    assert products(conv_relu_bias, IMAGE) == pytest.approx(2 * 100 * 3 * 16)
    assert products(block, IMAGE) == pytest.approx(2 * 100 * 3 * 16)


def test_a_network_s_floor_is_that_of_its_layers():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 1)
    )
    first = 2 * 144 * 3 * 8
    found = products(net, IMAGE)
    assert first < found <= first + 2 * 36 * 8 * 4


@pytest.mark.parametrize(
    "selector", ["level1/1", "level1/19", "level1/47", "level1/50", "level1/63", "level1/87", "level1/94"]
)
def test_of_the_packaged_tasks_every_input_is_read(selector):
    (task,) = load_tasks(selector, sizes="small")
    bench = Bench(task.id, with_sizes(task.source, task.sizes), seed=0, device="cpu")
    assert bench.measure_floor() > 0
    assert bench._required().read == dict.fromkeys(range(len(bench.example_inputs)), 1.0)
    whole = sum(each.numel() * each.element_size() for each in bench.example_inputs)
    assert bench.find_needs().traffic.read == pytest.approx(whole, rel=1e-4)  # a draw may be zero
