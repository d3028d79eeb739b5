"""Declared precisions: zeros are wrong at every one, eager PyTorch is right, and too coarse a kernel is not."""

import pytest
import torch
from made_up_tasks import MATMUL

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.correctness.resizing import smaller
from pytest_kernelbench.evaluation.correctness.tolerances import REFRESHED
from pytest_kernelbench.tasks import load_tasks, with_sizes

LEVEL1 = {task.short_id: task for task in load_tasks("level1", sizes="small")}
# Of the 34 convolutions, one of each kind: all 100 tasks take a minute of one core.
CONVOLUTIONS = {f"level1/{number}" for number in (50, *range(54, 88))} - {
    f"level1/{number}" for number in (50, 57, 61, 67, 74, 82, 87)
}
# On a CPU, average pooling in three dimensions is not there in bfloat16.
NOT_THERE = {"level1/46"}


def bench_of(task, precision):
    source = with_sizes(task.source, smaller(task.source, seed=0) or task.sizes)
    return Bench(task.id, source, seed=0, device="cpu", precision=precision)


@pytest.mark.parametrize("name", [name for name in LEVEL1 if name not in CONVOLUTIONS])
def test_zeros_are_wrong_on_every_task_of_level_1_in_bfloat16(name):
    if name in NOT_THERE:
        with pytest.raises(HarnessError, match="not implemented for 'BFloat16'"):
            bench_of(LEVEL1[name], "bfloat16")
        return
    bench = bench_of(LEVEL1[name], "bfloat16")
    values = bench.reference.draw("task")
    due = bench.answers(values, "task")
    eager = bench.reference.answers(values)
    assert all(expected.objection(each) is None for expected, each in zip(due, eager, strict=True))
    assert any(expected.objection(torch.zeros_like(each)) for expected, each in zip(due, eager, strict=True))


@pytest.mark.parametrize("precision", ["float16", "tf32", "float32"])
@pytest.mark.parametrize("name", ["level1/3", "level1/21", "level1/23", "level1/40", "level1/50", "level1/94"])
def test_zeros_are_wrong_at_other_precisions_and_a_tenth_off_is_too(name, precision):
    bench = bench_of(LEVEL1[name], precision)
    values = bench.reference.draw("task")
    for expected, eager in zip(bench.answers(values, "task"), bench.reference.answers(values), strict=True):
        assert expected.objection(eager) is None
        assert expected.objection(torch.zeros_like(eager)) is not None
        assert expected.objection(eager * 1.1) is not None


@pytest.mark.parametrize(("precision", "coarser"), [("float32", torch.float16), ("tf32", torch.bfloat16)])
def test_a_product_in_a_coarser_type_than_the_declared_is_wrong(precision, coarser):
    bench = bench_of(LEVEL1["level1/3"], precision)
    a, b = bench.reference.draw("signed")
    (expected,) = bench.answers([a, b], "signed")
    assert expected.objection(a.to(coarser).float() @ b.to(coarser).float()) is not None
    assert expected.objection((a.double() @ b.double()).float()) is None


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "tf32", "float32"])
def test_a_product_a_tenth_off_is_wrong_on_every_kind_of_inputs(precision):
    bench = Bench(MATMUL.id, MATMUL.source, seed=0, device="cpu", precision=precision)
    for kind in ("task", "signed", "mixed", REFRESHED):
        for _ in range(3):
            a, b = bench.refreshed(1)[0].values() if kind == REFRESHED else bench.reference.draw(kind)
            (expected,) = bench.answers([a, b], kind)
            assert expected.objection(a @ b) is None
            assert expected.objection((a.double() @ b.double()).to(a.dtype)) is None
            assert expected.objection(a @ b * 0.9) is not None
