"""Sums in another order are right on every kind of inputs, also where large terms cancel."""

import numpy as np
import pytest
import torch
from made_up_tasks import task

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.correctness.domain import BEYOND_THE_TASK, MIXED
from pytest_kernelbench.evaluation.correctness.doubt import once_more
from pytest_kernelbench.evaluation.correctness.tolerances import REFRESHED

LINEAR = """\
def __init__(self):
    super().__init__()
    self.fc = nn.Linear(n, 48)
    self.norm = nn.BatchNorm1d(48)

"""
CASES = {
    "a difference near zero": "(self.fc(x) - 2) * 1.5",
    "weights folded": "(self.fc(x) - 2) * 1.5",
    "a norm over three rows": "nn.functional.gelu(self.norm(self.fc(x)))",
    "squares of a difference": "(self.fc(x) - self.fc(x).mean(1, keepdim=True)) ** 2",
}


def product(x, m, part):
    """A linear layer's sums in two parts, the later first."""
    w = m.fc.weight.T
    return x[:, part:] @ w[part:] + x[:, :part] @ w[:part] + m.fc.bias


@torch.no_grad()
def reordered(name, m, x):
    y = product(x, m, 70)
    if name == "a difference near zero":
        return (y - 2) * 1.5
    if name == "weights folded":
        return x @ (m.fc.weight * 1.5).T + (m.fc.bias - 2) * 1.5
    if name == "a norm over three rows":
        return torch.nn.functional.gelu(m.norm(y))
    return (y - y.flip(1).sum(1, keepdim=True) / 48) ** 2


@pytest.mark.parametrize("name", CASES)
def test_another_order_of_the_same_sums_is_right_on_every_draw(name):
    model = f"{LINEAR}def forward(self, x):\n    return {CASES[name]}"
    made = task("70_sums", model, inputs="torch.rand(3, n)", n=300)
    bench = Bench(made.id, made.source, seed=0, device="cpu")
    kinds = ["task", "signed", "scaled", REFRESHED, MIXED, *BEYOND_THE_TASK]
    for kind in (each for each in kinds if each == REFRESHED or bench.usable(each)):
        for _ in range(10):
            (x,) = bench.refreshed(1)[0].values() if kind == REFRESHED else bench.reference.draw(kind)
            due = bench.answers([x], kind)
            got = reordered(name, bench.reference.model_for(kind), x)
            if due[0].objection(got) is not None:
                due = once_more(bench.reference, kind, [x], [got], due)
            assert due[0].objection(got) is None, kind
            half = reordered(name, bench.reference.model_for(kind).half(), x.half()).float()
            assert kind not in ("task", "signed") or due[0].objection(half) is not None


def in_four_sums(terms):
    """Their sum, in float32 and in their order: the term at place ``i`` is added to sum ``i`` modulo 4."""
    return torch.from_numpy(np.add.accumulate(terms.view(-1, 4).numpy(), axis=0)[-1]).sum()


def test_long_sums_in_plain_order_are_right_on_every_draw():
    # MKL's ``dot`` keeps 32 sums for two million terms. A term that is added again and again is rounded to the same
    # side each time, as is any that is small beside the sum.
    made = task("71_squares", "def forward(self, x):\n    return (x * x).mean()", inputs="torch.rand(n)", n=1 << 18)
    bench = Bench(made.id, made.source, seed=0, device="cpu")
    for kind in (each for each in ("task", "signed", "scaled", *BEYOND_THE_TASK) if bench.usable(each)):
        for _ in range(3):
            (x,) = bench.reference.draw(kind)
            (due,) = bench.answers([x], kind)
            assert due.objection(in_four_sums(x * x) / len(x)) is None, kind


SPARSE = {
    "relu": ("torch.relu({})", torch.relu),
    "threshold": ("nn.functional.threshold({}, 0.0, 0.0)", lambda y: torch.nn.functional.threshold(y, 0.0, 0.0)),
    "hardtanh": ("nn.functional.hardtanh({}, 0.0, 6.0)", lambda y: torch.nn.functional.hardtanh(y, 0.0, 6.0)),
}


@pytest.mark.parametrize("seed", [6, 8])
@pytest.mark.parametrize("name", SPARSE)
@torch.no_grad()
def test_a_result_that_is_mostly_zero_is_judged_by_what_its_other_elements_need(name, seed):
    # As level2/9 of CUDA-L1. Often all elements of the draw on which the tolerance was measured are zero.
    text, after = SPARSE[name]
    init = "def __init__(self):\n    super().__init__()\n    self.fc = nn.Linear(10, 5)\n"
    model = f"{init}def forward(self, x):\n    return {text.format('(self.fc(x) - 2) * 1.5')}"
    made = task("72_sparse", model, inputs="torch.randn(128, 10)")
    bench = Bench(made.id, made.source, seed=seed, device="cpu")
    layer = bench.reference.model_for("task").fc
    others = found = 0
    for _ in range(200):
        # A new draw each time: refreshed inputs are made of three, in all of which every element may be zero.
        (x,) = bench.reference.draw("task")
        right = after(torch.addmm((layer.bias - 2) * 1.5, x, (layer.weight * 1.5).T))
        assert objection(bench, x, right) is None
        others += bool((right != 0).any())
        found += objection(bench, x, right * 1.05) is not None
    assert 0 < others < 200
    assert found > 0.9 * others


def objection(bench, x, got):
    due = bench.answers([x])
    if due[0].objection(got) is not None:
        due = once_more(bench.reference, REFRESHED, [x], [got], due)
    return due[0].objection(got)
