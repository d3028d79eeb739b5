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
    ],
    ids=["mean", "from above", "from below", "square product", "product", "sum", "shape"],
)
def test_what_depends_on_other_rows_is_computed_at_once(monkeypatch, forward, inputs):
    monkeypatch.setattr(bench_module, "EXACT_AT_ONCE_BYTES", 50_000)
    assert bench_of(forward, inputs)._exact_parts == 1


def test_answers_are_computed_when_they_are_first_looked_at():
    bench = bench_of("torch.relu(x)")
    asked = []
    answers = bench.answers
    bench.answers = lambda values, kind: asked.append(kind) or answers(values, kind)
    check = bench.check(0, "task")
    assert asked == []
    assert check.answers is check.answers
    assert asked == ["task"]
    assert bench.check(0, "task") is check


def test_float64_is_asked_once_for_each_kind_of_inputs(monkeypatch):
    bench = bench_of("torch.relu(x)")
    exact, asked = bench._run_exact, []
    monkeypatch.setattr(bench, "_run_exact", lambda values: asked.append(values) or exact(values))
    bench.measure_tolerances(["task", "signed", "task"])
    assert len(asked) == 3  # and the refreshed
    for number, kind in enumerate(["task", "signed", "task", "signed"]):
        (expected,) = bench.check(number, kind).answers
        assert expected.tolerance.kernelbench == (1e-4 if kind == "task" else float("inf"))
    bench.answers(bench.refreshed().values())
    assert len(asked) == 3


def test_without_a_float64_kernel_kernelbench_s_tolerance_holds(monkeypatch):
    bench = bench_of("torch.relu(x)")

    def missing(values):
        raise RuntimeError("not implemented for 'Double'")

    monkeypatch.setattr(bench, "_run_exact", missing)
    (expected,) = bench.check(0, "signed").answers
    assert (expected.tolerance.kernelbench, expected.tolerance.rounding) == (1e-4, float("inf"))
