import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_tasks import RELU

from pytest_kernelbench.errors import UsageError
from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.evaluation.clock.head_to_head import LOOKS, compare, verdict


def rounds_of(slowdown, *, noise=0.05, handicap=0.0, seed=0):
    """Blocks of made-up pairs: ``current`` takes ``slowdown`` times as long, and the second in a process more by
    ``handicap``, whichever it is."""
    generator = random.Random(seed)
    started = []

    def rounds(first, second):
        started.append((first, second))
        truth = {"baseline": 1.0, "current": slowdown}
        while True:
            yield {
                "reference_ms": [truth[first] * generator.lognormvariate(0, noise) for _ in range(6)],
                "candidate_ms": [truth[second] * (1 + handicap) * generator.lognormvariate(0, noise) for _ in range(6)],
            }

    return rounds, started


def test_a_regression_is_seen_and_measured():
    rounds, started = rounds_of(1.10)
    found = compare(rounds, "baseline", "current", 1.05)
    assert found.slower
    assert found.low < 1.10 < found.high and found.low > 1.05
    assert started == [("baseline", "current"), ("current", "baseline")]


def test_equal_kernels_are_seldom_called_slower_even_at_no_limit():
    alarms = sum(compare(rounds_of(1.0, seed=seed)[0], "baseline", "current", 1.0).slower for seed in range(400))
    assert alarms <= 2


def test_five_percent_are_seen_at_a_limit_of_two():
    seen = sum(compare(rounds_of(1.05, seed=seed)[0], "baseline", "current", 1.02).slower for seed in range(200))
    assert seen >= 198


def test_what_is_against_a_side_does_not_convict():
    found = compare(rounds_of(1.0, handicap=0.1)[0], "baseline", "current", 1.02)
    assert not found.slower
    assert found.low < 1 < found.high


def test_a_faster_kernel_ends_the_matter_early():
    found = compare(rounds_of(0.8)[0], "baseline", "current", 1.0)
    assert not found.slower
    assert found.pairs == LOOKS[0]


@given(st.lists(st.floats(-1, 1), min_size=8, max_size=400), st.floats(1.0, 1.5), st.booleans())
def test_a_verdict_agrees_with_the_estimate(logs, limit, last):
    said = verdict(logs, limit, last=last)
    middle = sorted(logs)[len(logs) // 2]
    if said is True:
        assert middle >= math.log(limit)
    if said is False and not last:
        assert sorted(logs)[(len(logs) - 1) // 2] <= math.log(limit)
    assert not (last and said is None)


KERNEL = """
import torch

class ModelNew(torch.nn.Module):
    def forward(self, x):
        for _ in range({rounds}):
            torch.exp(x[:4000])
        return {result}
"""


@pytest.fixture(scope="module")
def evaluator():
    with Evaluator(device="cpu", protocol="fast") as evaluator:
        yield evaluator


def kernel(rounds=20, result="torch.clamp(x, min=0)"):
    return KERNEL.format(rounds=rounds, result=result)


def test_half_more_work_is_slower_and_half_less_is_not(evaluator):
    slower = evaluator.compare(RELU, kernel(30), kernel(20), max_slowdown=1.1)
    assert slower.slower and slower.slowdown > 1.1
    assert not evaluator.compare(RELU, kernel(20), kernel(30), max_slowdown=1.1).slower


@pytest.mark.parametrize("source", ["x = (", kernel(result="1 / 0"), kernel(result="x + 1")])
def test_a_kernel_that_fails_is_not_compared_and_the_next_one_is(evaluator, source):
    found = evaluator.compare(RELU, source, kernel())
    assert found.slowdown is None and not found.slower
    assert found.detail.startswith("one of the two fails beside the other: ")


def test_a_baseline_that_is_wrong_convicts_nobody(evaluator):
    found = evaluator.compare(RELU, kernel(30), "import torch\nModelNew = torch.nn.Identity\n", max_slowdown=1.1)
    assert not found.slower
    assert found.detail.startswith("one of the two fails beside the other: ")


def test_a_limit_under_one_is_refused(evaluator):
    with pytest.raises(UsageError, match=r"max_slowdown=0.9: a limit under 1 calls equal kernels slower"):
        evaluator.compare(RELU, kernel(), kernel(), max_slowdown=0.9)
