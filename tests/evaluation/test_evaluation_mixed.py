"""Inputs of which every part of the batch is of another kind: where they show too little, each kind is asked alone."""

from dataclasses import replace

import pytest
import torch
from made_up_tasks import candidate, task

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.correctness.domain import BEYOND_THE_TASK, FAR, MIXED, TASK
from pytest_kernelbench.evaluation.correctness.doubt import once_more
from pytest_kernelbench.evaluation.correctness.examination import kinds_not_covered, kinds_to_check
from pytest_kernelbench.evaluation.correctness.mixed import kind_at_fault, parts_of_mixed
from pytest_kernelbench.evaluation.protocols import PROTOCOLS
from pytest_kernelbench.records import Outcome

FAST = PROTOCOLS["fast"]


def bench_of(result, inputs="torch.rand(66, n)", n=40):
    made = task("81_rows", f"def forward(self, x, y=None):\n    return {result}", inputs=inputs, n=n)
    return Bench(made.id, made.source, seed=0, device="cpu")


@pytest.mark.parametrize(
    ("result", "inputs", "alone"),
    [
        ("torch.softmax(x, 1)", "torch.rand(66, n)", True),
        ("x + y", "torch.rand(66, n), torch.rand(n)", True),
        ("x @ y", "torch.rand(66, n), torch.rand(n, n)", True),
        ("torch.softmax(x, 0)", "torch.rand(66, n)", False),
        ("nn.functional.batch_norm(x, None, None, training=True)", "torch.rand(66, n)", False),
        ("x @ y", "torch.rand(n, n), torch.rand(n, n)", False),
        ("x.cumsum(0)", "torch.rand(66, n)", False),
        ("x.roll(1, 0)", "torch.rand(66, n)", False),
    ],
)
def test_whether_rows_are_independent_is_measured(result, inputs, alone):
    bench = bench_of(result, inputs)
    assert bench.reference.answers_by_row
    assert bench.reference.rows_are_independent is alone
    assert MIXED in kinds_to_check(bench, FAST)
    uncovered = kinds_not_covered(bench, FAST)
    assert uncovered == ([] if alone else [TASK, *(kind for kind in BEYOND_THE_TASK if bench.usable(kind))])
    # Of rows that are added up, those that are far out would be all that is left.
    assert any(level.level >= FAR for level in bench.reference.levels_mixed()) is alone


def test_kinds_for_which_a_batch_has_no_row_are_not_covered():
    bench = bench_of("torch.relu(x)", "torch.rand(4, n)")
    covered = {part.kind for part in parts_of_mixed(bench.reference)}
    assert len(covered) == 4
    assert set(kinds_not_covered(bench, FAST)) == {TASK, *BEYOND_THE_TASK} - covered


def test_inputs_that_all_rows_share_stay_the_task_s_own():
    bench = bench_of("x * y", "torch.rand(66, n), torch.rand(n)")
    x, y = bench.reference.draw(MIXED)
    assert float(x.abs().max()) > FAR
    assert float(y.min()) >= 0 and float(y.max()) < 1


def test_each_part_has_a_tolerance_of_its_own():
    bench = bench_of("x * 2")
    values = bench.reference.draw(MIXED)
    due = bench.answers(values, MIXED)
    right = values[0] * 2
    assert due[0].objection(right) is None and kind_at_fault([right], due) is None
    for part in parts_of_mixed(bench.reference):
        got = right.clone()
        got[part.begin : part.end] *= 1.01
        # Beside values of 100,000 an error of 1 % in the others counts for nothing.
        if part.kind in (TASK, "moderate", "tiny", "zeros"):
            assert due[0].objection(got) is None
        fault = kind_at_fault([got], due)
        assert fault is not None and fault.kind == part.kind, part
        assert fault.objection.startswith("error ")


def test_a_kernel_for_one_size_is_asked_on_each_kind_alone(evaluator):
    softmax = task(
        "82_columns", "def forward(self, x):\n    return torch.softmax(x, 0)", inputs="torch.rand(n, n)", n=130
    )
    body = "assert len(x) == 130\ne = (x - {least}).exp()\nreturn e / e.sum(0, keepdim=True)"
    wrong, right = evaluator.evaluate(
        softmax,
        [
            candidate(body.format(least=each))
            for each in ("x.amax(0, keepdim=True).clamp(min=0)", "x.amax(0, keepdim=True)")
        ],
    )
    assert (wrong.outcome, wrong.draw) == (Outcome.INCORRECT, "negative"), wrong
    assert right.outcome is Outcome.CORRECT, right.detail


def test_a_tolerance_is_measured_once_more_on_the_inputs_in_question():
    bench = bench_of("torch.softmax(x * 3e5, 1)", "torch.rand(66, n).round(decimals=3) + 1e-7")
    values = bench.reference.draw("task")
    # Two values that are equal but for a rounding: which of them takes nearly all is not for a kernel to know.
    values[0][0] = 0.1
    values[0][0, 3:5] = torch.tensor([0.9, 0.9 + 6e-8])
    due = bench.answers(values, "task")
    due = [replace(each, tolerance=replace(each.tolerance, rounding=1e-6, kernelbench=1.0)) for each in due]
    got = due[0].exact.clone()
    got[0, 3:5] += torch.tensor([3e-6, -3e-6])
    assert due[0].objection(got) is not None
    assert once_more(bench.reference, "task", values, [got], due)[0].objection(got) is None
    # Far off, it is not looked at twice.
    got[1] += 0.5
    assert once_more(bench.reference, "task", values, [got], due) is due
