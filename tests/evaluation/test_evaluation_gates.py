"""A kernel is compared with the kernel that it replaces: three verdicts, their error rates, two real comparisons."""

import math
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_tasks import RELU

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.evaluation.clock import attestation
from pytest_kernelbench.evaluation.clock.attestation import Verdict, decide
from pytest_kernelbench.evaluation.clock.estimates import Series
from pytest_kernelbench.evaluation.clock.gates import LOOKS_AT_SERIES, VERDICTS, Comparison, Gate, plan_of_gate, told_by

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from attestation_simulated import Noise
from gate_simulated import Setting, gate_verdict, gate_verdicts, slower

ONE_PERCENT = Gate(max_slowdown=1.01)


@pytest.fixture(autouse=True)
def same_order_of_turns(monkeypatch):
    monkeypatch.setattr(attestation, "_random", random.Random(0))


def said(log_slowdowns, gate=ONE_PERCENT, *, others_share=0.0, last=False, noise=0.001):
    series = [Series(11, -log, -log - noise, -log + noise) for log in log_slowdowns]
    return decide(series, plan_of_gate(gate, "cuda", 1.0), others_share, last=last)


@pytest.mark.parametrize(
    ("log_slowdown", "answer"), [(-0.05, "same_or_faster"), (0.0, "same_or_faster"), (0.05, "slower")]
)
def test_sixteen_series_tell_what_is_slower_and_what_is_not(log_slowdown, answer):
    assert VERDICTS[said([log_slowdown] * 16).answer] == answer


def test_what_is_at_the_limit_is_undecided_and_says_where_it_is():
    verdict = said([math.log(1.01)] * 64)
    assert verdict.answer == "undecided"
    told = told_by(verdict)
    assert told["low"] < 1.01 < told["high"] and told["slowdown"] == pytest.approx(1.01)
    assert told["detail"].startswith("by the judge's clock it is 0.9901 [")


def test_a_verdict_is_given_after_2_4_8_16_32_and_64_pairs_of_processes_and_when_the_time_is_over():
    answered = [n for n in range(1, 65) if said([0.5] * n).answer is not None]
    assert tuple(answered) == LOOKS_AT_SERIES
    assert said([0.5] * 3, last=True).answer == "below"
    assert said([0.5] * 1, last=True).answer == "below"
    assert said([-0.5] * 1, last=True).answer == "undecided"


@settings(deadline=None)
@given(st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=64), st.integers(1, 40), st.booleans())
def test_a_verdict_agrees_with_its_interval(logs, sizes, last):
    verdict = said(logs, Gate(max_slowdown=1.01, sizes=sizes), last=last)
    if verdict.answer is None:
        return
    found = Comparison(**told_by(verdict))
    assert found.low <= found.slowdown and (found.high is None or found.slowdown <= found.high)
    assert found.slower == (found.low > 1.01 * (1 - 1e-12))
    if found.verdict == "same_or_faster":
        assert found.high < 1.01 * (1 + 1e-12)
    assert bool(found.detail) == (found.verdict == "undecided")


@given(st.integers(1, 200))
def test_the_more_sizes_the_surer_each_of_them_must_be(sizes):
    one, many = (plan_of_gate(Gate(max_slowdown=1.01, sizes=n), "cuda", 1.0) for n in (1, sizes))
    assert many.below_error * sizes == pytest.approx(one.below_error)
    assert many.below_error * sizes * len(LOOKS_AT_SERIES) == pytest.approx(0.01)


def test_beside_other_programs_nothing_is_said():
    assert told_by(said([0.5] * 16, others_share=0.26))["detail"] == (
        "other processes used 26% of the cores while it was timed"
    )


def test_a_comparison_is_as_it_was_written():
    found = Comparison(verdict="slower", slowdown=1.1, low=1.05, high=1.2, series=4)
    assert Comparison.from_json(found.to_json()) == found
    assert Comparison.from_json({**found.to_json(), "of_a_later_version": 1}) == found


def test_a_verdict_that_is_not_there_yet_is_none():
    with pytest.raises(AssertionError):
        told_by(Verdict(said([0.0]).estimate, None))


TWENTY_SIZES = Setting(Gate(max_slowdown=1.01, sizes=20), "cuda", Noise())


@pytest.mark.parametrize("gates", [4, pytest.param(15, marks=pytest.mark.slow)])
def test_a_gate_on_twenty_sizes_calls_nothing_slower_where_all_are_as_slow_as_is_allowed(gates):
    draw = random.Random(1)
    assert not any(slower(gate_verdicts(TWENTY_SIZES, [1.01] * 20, draw)) for _ in range(gates))


def test_three_percent_at_one_of_twenty_sizes_are_caught():
    draw = random.Random(2)
    assert sum(gate_verdict(TWENTY_SIZES, 1.03, draw).answer == "below" for _ in range(100)) >= 95


def test_the_same_kernel_is_seldom_undecided():
    draw = random.Random(3)
    assert sum(gate_verdict(TWENTY_SIZES, 1.0, draw).answer == "above" for _ in range(60)) >= 55


KERNEL = """
import torch

class ModelNew(torch.nn.Module):
    def forward(self, x):
        for _ in range({rounds}):
            torch.exp(x[:4000])
        return {result}
"""


def kernel(rounds=20, result="torch.clamp(x, min=0)"):
    return KERNEL.format(rounds=rounds, result=result)


@pytest.mark.quiet
@pytest.mark.slow
def test_much_more_work_is_slower_and_the_same_work_is_not(evaluator):
    # The closer the limit, the longer two kernels of the same time are compared.
    slower = evaluator.compare(RELU, kernel(400), kernel(40), max_slowdown=1.5, seconds=60)
    # Beside other programs the promise is that nothing is said.
    assert (slower.slower and slower.low > 1.5) or slower.detail.startswith("other processes used "), slower
    assert slower.kernel_ms > 0 and slower.baseline_ms > 0 and slower.seconds > 0
    assert not evaluator.compare(RELU, kernel(40) + "# another text", kernel(40), max_slowdown=1.5, seconds=10).slower


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("x = (", "build_error: "),
        (kernel(result="1 / 0"), "runtime_error: "),
        (kernel(result="x + 1"), "incorrect: "),
    ],
)
def test_a_kernel_that_fails_is_not_compared_and_the_next_one_is(evaluator, source, detail):
    found = evaluator.compare(RELU, source, kernel())
    assert (found.failed, found.verdict, found.slowdown) == ("kernel", None, None)
    assert found.detail.startswith(detail)


def test_a_baseline_that_is_wrong_is_no_fault_of_the_kernel(evaluator):
    found = evaluator.compare(RELU, kernel(30), "import torch\nModelNew = torch.nn.Identity\n", max_slowdown=1.1)
    assert (found.failed, found.verdict) == ("baseline", None)
    assert found.detail.startswith("incorrect: ")


def test_a_limit_of_nothing_is_refused(evaluator):
    with pytest.raises(UsageError, match="max_slowdown=1: no measurement shows that two times are equal"):
        evaluator.compare(RELU, kernel(), kernel(), max_slowdown=1.0)
