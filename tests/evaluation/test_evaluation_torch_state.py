"""What the code of one task changes in torch is put back before the next one."""

from dataclasses import replace

import pytest
import torch
from made_up_tasks import task
from one_candidate import one

from pytest_kernelbench.evaluation import Evaluator, reference_as_candidate
from pytest_kernelbench.evaluation.torch_state import SWITCHES, TorchState
from pytest_kernelbench.records import Outcome

CHANGES = [
    "torch.set_default_dtype(torch.float64)",
    "torch.set_default_device('meta')",
    "torch.set_grad_enabled(not torch.is_grad_enabled())",
    "torch.set_num_threads(torch.get_num_threads() + 1)",
    "torch.use_deterministic_algorithms(True, warn_only=True)",
    "torch.set_flush_denormal(True)",
    "torch.backends.cudnn.enabled = False",
    "torch.backends.cudnn.benchmark = True",
    "torch.backends.cudnn.deterministic = True",
    "torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False",
    "torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False",
    "torch.backends.cuda.enable_flash_sdp(False)",
    "torch.backends.cuda.enable_mem_efficient_sdp(False)",
    "torch.backends.cuda.enable_math_sdp(False)",
    "torch.backends.cuda.enable_cudnn_sdp(False)",
    "torch.set_autocast_enabled('cpu', True)",
    "torch.set_autocast_dtype('cpu', torch.float16)",
    "torch.set_autocast_enabled('cuda', True)",
    "torch.set_autocast_dtype('cuda', torch.bfloat16)",
]
REPLACED = {
    "torch.relu": "torch.relu = lambda x: x",
    "torch.Tensor.relu": "torch.Tensor.relu = lambda x: x",
    "torch.nn.functional.relu": "torch.nn.functional.relu = lambda x: x",
    "torch.nn.Linear": "torch.nn.Linear = torch.nn.Identity",
    "torch.nn.Linear.forward": "torch.nn.Linear.forward = lambda self, x: x",
    "torch.nn.Module.__call__": "torch.nn.Module.__call__ = lambda self, x: x",
}


def settings():
    return [switch.read() for switch in SWITCHES]


@pytest.mark.parametrize("change", CHANGES)
def test_each_switch_is_put_back(change):
    before, state = settings(), TorchState()
    try:
        exec(change)
        assert settings() != before
    finally:
        state.put_back()
    assert settings() == before
    assert torch.ones(1).device.type == "cpu"


def test_every_switch_is_tried():
    assert len(SWITCHES) == len(CHANGES)


@pytest.mark.parametrize("name", REPLACED)
def test_what_was_replaced_in_torch_is_put_back(name):
    before, state = eval(name), TorchState()
    try:
        exec(REPLACED[name])
        assert eval(name) is not before
    finally:
        state.put_back()
    assert eval(name) is before


FIRST = task("1_first", "def forward(self, x):\n    return torch.relu(x)", inputs="torch.rand(1000)")
LINEAR = """
def __init__(self):
    super().__init__()
    self.linear = nn.Linear(64, 64)

def forward(self, x):
    return self.linear(x) + torch.ones(64) / 3
"""
SECOND = task("2_second", LINEAR, inputs="torch.rand(100, 64)")


@pytest.mark.parametrize("change", [CHANGES[0], CHANGES[1], REPLACED["torch.nn.Linear.forward"]])
def test_candidates_of_the_next_task_are_judged_as_if_there_had_been_none_before(change, cache):
    first = replace(FIRST, source=FIRST.source.replace("class Model", f"{change}\n\nclass Model"))
    with Evaluator(device="cpu", protocol="fast", cache=cache) as evaluator:
        one(evaluator, reference_as_candidate(first), first)
        found = one(evaluator, reference_as_candidate(SECOND), SECOND)
        assert found.outcome is Outcome.CORRECT, found.detail
