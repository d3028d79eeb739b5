"""A candidate is called without a device, on tensors without memory, and told the properties of the GPU."""

import pytest
import torch

from pytest_kernelbench.evaluation.worker.exploring import go_through, on_nothing

H100 = {"major": 9, "minor": 0, "name": "NVIDIA H100 80GB HBM3", "multi_processor_count": 132}


@pytest.mark.parametrize(
    "made",
    [
        lambda: torch.rand(1 << 40, 3),
        lambda: torch.empty(1 << 40, 3, device="cuda"),
        lambda: torch.empty(1 << 40, 3, device=torch.device("cuda:0")),
        lambda: torch.empty(1 << 40, 3).cuda(),
        lambda: torch.empty(1 << 40, 3, device="cpu").to("cuda", torch.float32),
        lambda: torch.empty_like(torch.rand(3, 1 << 40).t()).contiguous(),
    ],
)
def test_what_is_made_on_nothing_has_a_shape_and_says_that_it_is_on_a_gpu(made):
    with on_nothing(H100):
        tensor = made()
        assert tensor.is_cuda
        assert torch.empty(3, device=tensor.device).data_ptr() == 0
        assert tensor.data_ptr() == 0
        assert (tensor.shape, tensor.dtype) == ((1 << 40, 3), torch.float32)
    one = torch.rand(1)
    assert (one.is_meta, one.is_cuda) == (False, False)


def test_a_module_is_called_on_nothing():
    with on_nothing(H100):
        module = torch.nn.Sequential(torch.nn.Linear(1 << 30, 1 << 20), torch.nn.ReLU()).cuda().to("cuda")
        answer = module(torch.rand(7, 1 << 30))
    assert (answer.shape, answer.requires_grad) == ((7, 1 << 20), False)


def test_torch_says_that_it_has_the_gpu_and_afterwards_what_it_said_before():
    before = torch.cuda.is_available()
    with on_nothing(H100):
        assert torch.cuda.is_available()
        assert torch.cuda.get_device_capability() == (9, 0)
        assert torch.cuda.get_device_properties(0).multi_processor_count == 132
        assert torch.cuda.get_device_name() == "NVIDIA H100 80GB HBM3"
        with torch.cuda.stream(torch.cuda.Stream()):
            torch.cuda.current_stream().synchronize()
    assert torch.cuda.is_available() is before
    assert not torch.rand(1).is_cuda


def test_without_a_gpu_torch_says_that_there_is_none():
    with on_nothing(None):
        assert not torch.cuda.is_available()
        assert not torch.rand(2).is_cuda


TASK = """
import torch

class Model(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(size))

    def forward(self, x):
        return x * self.weight

def get_inputs():
    return [torch.rand(1 << 40)]

def get_init_inputs():
    return [1 << 40]
"""


@pytest.mark.parametrize("gpu", [None, H100], ids=["cpu", "gpu"])
@pytest.mark.parametrize("where", ["import", "__init__", "forward"])
def test_import_constructor_and_first_call_are_gone_through(tmp_path, gpu, where):
    body = {each: "raise LookupError" if each == where else "pass" for each in ("import", "__init__", "forward")}
    candidate = tmp_path / "candidate.py"
    candidate.write_text(f"""
import torch
if True: {body["import"]}
class ModelNew(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(size))
        if self.weight.is_cuda is {gpu is not None}: {body["__init__"]}
    def forward(self, x):
        if x.is_cuda is {gpu is not None} and x.shape == self.weight.shape: {body["forward"]}
        return x
""")
    with pytest.raises(LookupError):
        go_through(TASK, candidate, gpu)
