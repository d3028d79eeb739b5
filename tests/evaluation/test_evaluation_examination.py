"""A candidate in a process of its own is checked on the whole domain, and on parameters that it was not made with."""

import functools
from contextlib import ExitStack

import pytest
from made_up_tasks import MATMUL, RELU, candidate, task

from pytest_kernelbench.evaluation import Evaluator, reference_as_candidate
from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.correctness.domain import MOVED
from pytest_kernelbench.evaluation.correctness.examination import FIXED_PARAMETERS, kinds_to_check, prepare_checks
from pytest_kernelbench.evaluation.correctness.other_sizes import OtherSizes
from pytest_kernelbench.evaluation.protocols import PROTOCOLS
from pytest_kernelbench.records import Outcome

HARDTANH = task(
    "20_hardtanh", "def forward(self, x):\n    return nn.functional.hardtanh(x)", inputs="torch.rand(300, n)", n=500
)
SCALE = "self.scale = torch.nn.Parameter(torch.ones(n))"
SCALED = task(
    "21_scaled",
    f"def __init__(self):\n    super().__init__()\n    {SCALE}\ndef forward(self, x):\n    return x * self.scale",
    inputs="torch.rand(300, n)",
    n=500,
)
MODULE = """
import torch

n = 500

class ModelNew(torch.nn.Module):
    def __init__(self):
        super().__init__()
        {init}

    def forward(self, x):
        return {result}
"""


def test_all_checks_of_a_candidate_are_answered_before_it_is_there():
    bench, protocol = Bench(SCALED.id, SCALED.source, seed=0, device="cpu"), PROTOCOLS["full"]
    prepare_checks(bench, protocol)
    drawn = []
    draw = bench.reference.draw
    bench.reference.draw = lambda kind: drawn.append(kind) or draw(kind)
    checks = [bench.check(number, kind) for number, kind in enumerate([*kinds_to_check(bench, protocol), MOVED])]
    assert all(check.answers for check in checks) and drawn == []
    case = {"task": SCALED.id, "source": SCALED.source, "seed": 0, "precision": "float32"}
    others = OtherSizes(case, "cpu")
    others.prepare_checks()
    assert others.sizes is not None
    others.close()


def test_a_wrong_kernel_s_record_names_the_kind_of_inputs(evaluator):
    no_lower, of_signed, honest = evaluator.evaluate(
        HARDTANH,
        [candidate(f"return {each}") for each in ("x.clamp(max=1)", "x.abs()", "torch.clamp(x + 0, -1, 1)")],
    )
    assert (no_lower.outcome, no_lower.draw) == (Outcome.INCORRECT, "wide")
    assert no_lower.detail.startswith("wide inputs (a part of mixed ones): error ")
    assert (of_signed.outcome, of_signed.draw) == (Outcome.INCORRECT, "signed")
    assert (honest.outcome, honest.draw, honest.detail, honest.precision) == (Outcome.CORRECT, None, "", "float32")


FOLLOWS = MODULE.format(init=SCALE, result="torch.mul(self.scale, x)")
IGNORES = [
    MODULE.format(init=SCALE, result="x + 0"),
    MODULE.format(init="pass", result="x + 0"),
    MODULE.format(init=f"{SCALE}; self.folded = self.scale.clone()", result="x * self.folded.detach()"),
]


# As level3/44 reaches its layers.
KEEPS_A_FUNCTION = task(
    "22_keeps_a_function",
    """def __init__(self):
    super().__init__()
    layer = self.layer = nn.Linear(8, 8)
    self.call = lambda x: torch.relu(layer(x))
def forward(self, x):
    return self.call(x)""",
    inputs="torch.rand(4, 8)",
)


def test_a_kernel_whose_parameters_are_fixed_is_right_with_a_remark(evaluator):
    follows, *ignore = evaluator.evaluate(SCALED, [FOLLOWS, *IGNORES])
    assert follows.outcome is Outcome.CORRECT and FIXED_PARAMETERS not in follows.detail
    assert [each.outcome for each in ignore] == [Outcome.CORRECT] * 3, ignore
    assert all(FIXED_PARAMETERS in each.detail for each in ignore)


def test_a_strategy_can_demand_that_parameters_are_followed(cache):
    with Evaluator(device="cpu", protocol="fast", cache=cache, parameters="followed") as strict:
        follows, *ignore = strict.evaluate(SCALED, [FOLLOWS, *IGNORES])
        (own,) = strict.evaluate(KEEPS_A_FUNCTION, [reference_as_candidate(KEEPS_A_FUNCTION)])
    assert (own.outcome, own.detail) == (Outcome.CORRECT, "")
    assert follows.outcome is Outcome.CORRECT
    assert [(each.outcome, each.draw) for each in ignore] == [(Outcome.INCORRECT, "moved parameters")] * 3
    assert ignore[1].detail == "its state has other names or shapes"


@pytest.fixture(scope="module")
def evaluator_at(cache):
    """One evaluator for each precision."""
    with ExitStack() as stack:
        yield functools.cache(
            lambda precision: stack.enter_context(
                Evaluator(device="cpu", protocol="fast", precision=precision, cache=cache)
            )
        )


@pytest.mark.parametrize(
    ("precision", "task", "right", "wrong"),
    [
        ("bfloat16", RELU, "return torch.relu(x + 0)", "return torch.zeros_like(x)"),
        ("float16", RELU, "return torch.relu(x + 0)", "return torch.relu(x).float()"),
        ("bfloat16", MATMUL, "return (a.float() @ b.float()).bfloat16()", "return a @ b * 0.9"),
        ("tf32", MATMUL, "return (a.double() @ b.double()).float()", "return (a.bfloat16() @ b.bfloat16()).float()"),
    ],
)
def test_candidates_are_judged_at_the_declared_precision(evaluator_at, precision, task, right, wrong):
    arguments = "x" if task is RELU else "a, b"
    sources = [candidate(each, arguments=arguments) for each in (right, wrong)]
    good, bad = evaluator_at(precision).evaluate(task, sources)
    assert (good.outcome, good.precision) == (Outcome.CORRECT, precision), good.detail
    assert bad.outcome is Outcome.INCORRECT, bad
    # On the first draw, and not only where other sizes happen to show it.
    assert bad.draw in ("signed", None), bad
