"""Controls that serve one task after the other, in real processes."""

import os
from dataclasses import replace

import pytest
from made_up_tasks import candidate, task
from one_candidate import one

from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.evaluation.device.traits import DEVICES
from pytest_kernelbench.evaluation.sandbox import descendants
from pytest_kernelbench.records import Outcome

# Faster candidates are claims at once.
SLOW = "def forward(self, x):\n    import time\n    time.sleep(3e-4)\n    return torch.{0}(x)"
NAMES = ("relu", "tanh")
TASKS = {name: task(f"51_{name}", SLOW.format(name), inputs="torch.rand(n)", n=100) for name in NAMES}
FAST = {name: candidate(f"return torch.{name}(x)") for name in NAMES}


@pytest.fixture
def keeping(cache, monkeypatch):
    monkeypatch.setitem(DEVICES, "cpu", replace(DEVICES["cpu"], kept_controls=4, spare_workers=0))
    with Evaluator(device="cpu", protocol="fast", cache=cache) as evaluator:
        yield evaluator


def test_claims_of_one_task_after_the_other_are_measured_beside_the_same_controls(keeping):
    assert one(keeping, candidate("return x"), TASKS["tanh"]).outcome is Outcome.INCORRECT
    without, there = set(descendants(os.getpid())), []
    for name in NAMES:
        found = one(keeping, FAST[name], TASKS[name])
        # Where other programs use the cores, the claim is measured, and does not count.
        assert found.outcome is Outcome.CORRECT and found.attested > 1.5, found
        there.append(set(descendants(os.getpid())))
    # No worker is started ahead, and a candidate's ends with its claim.
    assert there[0] & there[1] - without
