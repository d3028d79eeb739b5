"""A reference is examined before candidates are judged by it."""

import subprocess
import sys

import pytest
import torch
from made_up_tasks import RELU, candidate, task

from pytest_kernelbench.errors import HarnessError
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.correctness.domain import BEYOND_THE_TASK, KINDS, Level
from pytest_kernelbench.evaluation.correctness.few_rows import FewRows
from pytest_kernelbench.evaluation.correctness.findings import TaskRefused, look_at
from pytest_kernelbench.records import Outcome
from pytest_kernelbench.tasks.findings import TaskFindings

ROWS = "torch.rand(60, n)"


def forward(result, *, first="pass"):
    return f"def forward(self, x, *more):\n    {first}\n    return {result}"


def look(model, inputs=ROWS, n=100):
    made = task("40_looked_at", model, inputs=inputs, n=n)
    return look_at(Bench(made.id, made.source, seed=0, device="cpu"))


def test_an_ordinary_reference_has_no_remark():
    findings = look(forward("torch.relu(x)"))
    assert (findings.repeatable, findings.constant, findings.writes_inputs) == ("always", False, False)
    assert (findings.undefined_on, findings.remarks, findings.uncounted_because) == ((), [], "")
    assert findings.n_bytes == 2 * 60 * 100 * 4


def test_a_reference_is_looked_at_and_followed_without_an_import_of_torch_s_compiler():
    made = task("40_looked_at", forward("torch.relu(x)"), inputs=ROWS, n=100)
    code = (
        "import sys\n"
        "from pytest_kernelbench.evaluation.correctness.findings import bench_of\n"
        f"case = {{'task': {made.id!r}, 'source': {made.source!r}, 'seed': 0, 'precision': 'float32'}}\n"
        "bench_of(case, 'cpu', {})[0].measure_tolerances(['task', 'signed'])\n"
        "print(sorted(each for each in sys.modules if each.startswith('torch._dynamo')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "result",
    [
        "nn.functional.dropout(x, 0.3)",
        "x + torch.rand_like(x)",
        "torch.softmax(nn.functional.dropout(x @ x.T), 1)",
        "x * torch.bernoulli(torch.full_like(x, 0.5))",
        "nn.functional.rrelu(x - 0.5, training=True)",
    ],
)
def test_what_draws_at_random_repeats_under_the_same_seed(result):
    findings = look(forward(result))
    assert findings.repeatable == "seeded"
    assert findings.uncounted_because.startswith("the reference draws at random")


@pytest.mark.parametrize(
    "first",
    [
        "import os; k = int.from_bytes(os.urandom(4), 'little') % 1000003",
        "import time; k = time.perf_counter_ns() % 1000003",
    ],
)
def test_what_repeats_under_no_seed_is_refused(first):
    with pytest.raises(TaskRefused) as refused:
        look(forward("x * (1 + k)", first=first))
    assert str(refused.value) == (
        "made_up/40_looked_at: the reference gives another answer each time it is called on the same inputs, under the "
        "same seed; leave the task out, or have its forward draw from torch's generator"
    )
    assert refused.value.findings.repeatable == "never"


@pytest.mark.parametrize(
    "result",
    [
        "torch.clamp(torch.min(x, torch.tensor(0.0)), 0, 1)",
        "torch.softmax(x.sum(1, keepdim=True), 1)",
        "x - x",
        "torch.relu(-torch.relu(x))",
        "(x > x + 1).float()",
        "torch.zeros(7)",
        "x.argmax(1) * 0",
        "nn.functional.group_norm(x, 1).mean(1)",
    ],
)
def test_an_answer_that_does_not_depend_on_inputs_is_called_constant(result):
    findings = look(forward(result))
    assert findings.constant
    assert findings.uncounted_because == "the task's answer does not depend on its inputs"


@pytest.mark.parametrize(
    "result", ["(x * x).mean()", "torch.softmax(x, 1)", "x.argmax(1)", "x > 0.5", "torch.relu(x - 5)", "x.cumprod(1)"]
)
def test_an_answer_that_hardly_varies_on_the_task_s_draw_is_not(result):
    assert not look(forward(result)).constant


def test_a_reference_that_writes_to_its_inputs_is_given_copies():
    made = task("41_in_place", forward("x.add_(1)"), inputs=ROWS, n=100)
    bench = Bench(made.id, made.source, seed=0, device="cpu")
    assert look_at(bench).writes_inputs
    assert float(bench.example_inputs[0].max()) < 1
    values = bench.reference.draw("task")
    before = values[0].clone()
    answer, *_ = bench.reference.answers(values)
    assert torch.equal(values[0], before)
    assert torch.equal(answer, before + 1)


@pytest.mark.parametrize(
    ("result", "undefined"),
    [
        ("nn.functional.binary_cross_entropy(x, more[0])", {"wide", "offset", "negative", "dominating"}),
        ("torch.linalg.cholesky(x @ x.T + torch.eye(60))", set()),
        ("torch.sqrt(x)", {"negative"}),
        ("torch.log(x)", {"negative"}),
        ("torch.exp(x)", {"offset"}),
        ("torch.acos(x)", {"offset"}),
    ],
)
def test_kinds_on_which_a_reference_raises_or_is_not_finite_are_left_out(result, undefined):
    inputs = "torch.rand(60, 60), torch.rand(60, 60)"
    assert undefined <= set(look(forward(result), inputs=inputs).undefined_on)


def test_a_run_with_a_reference_that_checks_its_domain_judges_both_tasks(evaluator):
    checks = task(
        "42_bce",
        "def forward(self, p, y):\n    return nn.functional.binary_cross_entropy(p, y)",
        inputs="torch.rand(n), torch.rand(n)",
        n=20_000,
    )
    honest = "return -(y * p.log().clamp(min=-100) + (1 - y) * (1 - p).log().clamp(min=-100)).mean()"
    (of_checks,) = evaluator.evaluate(checks, [candidate(honest, arguments="p, y")])
    assert of_checks.outcome is Outcome.CORRECT, of_checks.detail
    assert "negative" in evaluator.findings[checks.id].undefined_on
    other = task("43_relu", forward("torch.relu(x)"), inputs=ROWS, n=100)
    (of_other,) = evaluator.evaluate(other, [candidate("return x.clamp(min=0)")])
    assert of_other.correct


def test_zeros_for_a_constant_are_correct_and_count_for_nothing(evaluator):
    made = task("44_constant", forward("torch.relu(-torch.relu(x @ x.T @ x))"), inputs="torch.rand(n, n)", n=400)
    zeros, honest = evaluator.evaluate(
        made, [candidate("return torch.zeros_like(x)"), candidate("return torch.relu(-torch.relu(x @ x.T @ x))")]
    )
    for each in (zeros, honest):
        assert (each.outcome, each.counted) == (Outcome.CORRECT, False)
        assert each.uncounted_because == "the task's answer does not depend on its inputs"
        assert not each.fast()
    assert zeros.fast_raw()
    assert zeros.counted_speedup == 1.0


def test_a_kept_constant_takes_no_time_and_is_no_cheat(evaluator):
    # A published kernel for level2/66, whose softmax is of one element, returns ones that it made before.
    made = task("47_ones", forward("torch.softmax(x[:, :1], dim=1)"), inputs="torch.rand(60, n)", n=100_000)
    kept = "if not hasattr(self, 'kept') or len(self.kept) != len(x): self.kept = torch.ones(len(x), 1)\n"
    (found,) = evaluator.evaluate(made, [candidate(f"{kept}return self.kept")])
    assert (found.outcome, found.flags, found.counted) == (Outcome.CORRECT, (), False), found.detail
    assert found.uncounted_because == "the task's answer does not depend on its inputs"


def test_only_a_kernel_with_the_dropout_in_it_is_right_and_none_counts(evaluator):
    made = task("45_dropout", forward("nn.functional.dropout(x, 0.5)"), inputs="torch.randn(60, n)", n=100)
    bodies = ["torch.nn.functional.dropout(x, 0.5)", "x", "x.clone()", "torch.zeros_like(x)", "torch.full_like(x, 3.0)"]
    right, *wrong = evaluator.evaluate(made, [candidate(f"return {body}") for body in bodies])
    assert (right.outcome, right.counted) == (Outcome.CORRECT, False), right.detail
    assert [each.outcome for each in wrong] == [Outcome.INCORRECT] * 4


def test_a_task_that_is_refused_is_looked_at_and_named(evaluator):
    # One byte was the same twice, once in 256 runs.
    first = "import os; k = int.from_bytes(os.urandom(4), 'little') % 1000003"
    made = task("46_random", forward("x * (1 + k)", first=first), inputs=ROWS, n=100)
    findings = evaluator.look_at(made)
    assert findings.refused is not None
    assert findings.refused.startswith("the reference gives another answer")
    with pytest.raises(HarnessError, match=r"^made_up/46_random: the reference gives another answer each time"):
        list(evaluator.evaluate(made, [candidate("return x")]))
    broken = task("47_broken", forward("x @ x"), inputs=ROWS, n=100)
    said = evaluator.look_at(broken).refused
    assert said.startswith("the reference does not run on cpu (RuntimeError: mat1 and mat2")
    assert evaluator.look_at(task("48_relu", forward("torch.relu(x)"), inputs=ROWS, n=100)).refused is None


def test_a_reference_whose_answers_differ_is_asked_about_no_further_kind(monkeypatch):
    asked = []
    usable = Bench.usable
    monkeypatch.setattr(Bench, "usable", lambda bench, kind: asked.append(kind) or usable(bench, kind))
    assert look(forward("torch.relu(x)")).constant is False
    assert set(asked) <= {"signed", "mixed"}
    assert look(forward("x * 0")).constant is True
    assert {"wide", "zeros"} <= set(asked)


def test_a_judge_that_is_made_ready_knows_the_task_before_a_candidate_is_there(evaluator):
    made = task("49_ready", forward("torch.relu(x)"), inputs=ROWS, n=100)
    evaluator.make_ready(made)
    assert evaluator.findings[made.id].refused is None
    evaluator.make_ready(made)
    known = evaluator.known.of(evaluator.hardware, made.sha256)
    assert {"task", "mixed", "refreshed"} <= known["tolerances"].keys()
    (right,) = evaluator.evaluate(made, [candidate("return torch.relu(x)")])
    assert right.outcome is Outcome.CORRECT
    assert evaluator.known.of(evaluator.hardware, made.sha256) == known
    broken = task("47_broken", forward("x @ x"), inputs=ROWS, n=100)
    with pytest.raises(HarnessError, match=r"^made_up/47_broken: the reference does not run on cpu"):
        evaluator.make_ready(broken)
    evaluator.make_ready(made)


def test_findings_are_read_back_as_they_were():
    findings = look(forward("torch.log(x)"))
    assert TaskFindings.from_json(findings.to_json()) == findings


def test_what_is_asked_about_a_few_rows_touches_no_gpu(monkeypatch):
    """Answers were moved to the GPU and looked at there, which took 14 of 435 s of eight judges (H200)."""
    reference = Bench(RELU.id, RELU.source, seed=0, device="cpu").reference
    few = FewRows(reference)
    # In place of a GPU: what is moved there cannot be looked at.
    monkeypatch.setattr("pytest_kernelbench.evaluation.correctness.reference.torch_name", lambda device: "meta")
    assert all(few.has_answer(reference, Level(kind, KINDS[kind].levels[0])) for kind in BEYOND_THE_TASK)
