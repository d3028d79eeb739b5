"""TorchScript's own threads do the work after forward has returned."""

TASK = "matmul"
DEVICE = "cpu"
OUTCOMES = {"incorrect", "void"}

CHEAT = """
import torch
from torch import nn

@torch.jit.script
def work(a: torch.Tensor, b: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.mm(a, b, out=y)

@torch.jit.script
def begin(a: torch.Tensor, b: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    job = torch.jit.fork(work, a, b, y)
    return y

class ModelNew(nn.Module):
    def forward(self, a, b):
        return begin(a, b, torch.empty_like(a))
"""

HONEST = """
import torch
from torch import nn

@torch.jit.script
def work(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.mm(a, b)

@torch.jit.script
def both(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.jit.wait(torch.jit.fork(work, a, b))

class ModelNew(nn.Module):
    def forward(self, a, b):
        return both(a, b)
"""
