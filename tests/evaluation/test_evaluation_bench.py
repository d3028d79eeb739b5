"""What the judge knows of a task: answers in float64, of a batch in parts."""

import pytest
import torch
from made_up_tasks import task

from pytest_kernelbench.evaluation import bench as bench_module
from pytest_kernelbench.evaluation.bench import Bench

BATCH = "torch.rand(30, n)"


def bench_of(forward, inputs=BATCH, n=500):
    made = task("9_batch", f"def forward(self, x, *more):\n    return {forward}", inputs=inputs, n=n)
    return Bench(made.id, made.source, seed=0, device="cpu")


@pytest.mark.parametrize(
    ("forward", "inputs"),
    [
        ("torch.softmax(x, dim=1)", BATCH),
        ("x.argmax(dim=1)", BATCH),
        ("(x.sum(dim=1, keepdim=True), x * more[0], more[1])", f"{BATCH}, {BATCH}, torch.rand(30)"),
    ],
    ids=["softmax", "integers", "several"],
)
def test_a_batch_s_answers_come_in_parts_and_are_those_of_the_whole(monkeypatch, forward, inputs):
    whole = bench_of(forward, inputs)
    monkeypatch.setattr(bench_module, "EXACT_AT_ONCE_BYTES", 50_000)
    parted = bench_of(forward, inputs)
    assert (whole._exact_parts, parted._exact_parts > 1) == (1, True)
    values = whole.check(0, "task").values
    for one, other in zip(whole._run_exact(values), parted._run_exact(values), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("forward", "inputs"),
    [
        ("x - x.mean(dim=0)", BATCH),
        ("x.cumsum(dim=0)", BATCH),
        ("x.flip(0).cumsum(dim=0).flip(0)", BATCH),
        ("x @ more[0]", "torch.rand(300, 300), torch.rand(300, 300)"),
        ("x @ more[0]", "torch.rand(30, 300), torch.rand(300, 30)"),
        ("x.sum()", BATCH),
        ("x.view(10, -1)", BATCH),
        ("x.sum(dim=1) > x.sum(dim=1).median()", BATCH),
    ],
    ids=["mean", "from above", "from below", "square product", "product", "sum", "shape", "integers"],
)
def test_what_depends_on_other_rows_is_computed_at_once(monkeypatch, forward, inputs):
    monkeypatch.setattr(bench_module, "EXACT_AT_ONCE_BYTES", 50_000)
    assert bench_of(forward, inputs)._exact_parts == 1


def test_answers_are_computed_when_they_are_first_looked_at():
    bench = bench_of("torch.relu(x)")
    asked = []
    answer = bench._answers
    bench._answers = lambda values: asked.append(values) or answer(values)
    check = bench.check(0, "task")
    assert asked == []
    assert check.answers is check.answers
    assert len(asked) == 1
    assert bench.check(0, "task") is check
