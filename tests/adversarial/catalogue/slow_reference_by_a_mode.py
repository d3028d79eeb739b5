"""A mode of torch that stays on delays every operator of the reference. The judge's control has no such mode."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import time

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

own = []

class Slow(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if not own and "mm" in str(function):
            until = time.perf_counter() + 0.002
            while time.perf_counter() < until:
                pass
        return function(*args, **(kwargs or {}))

Slow().__enter__()

class ModelNew(nn.Module):
    def forward(self, a, b):
        own.append(True)
        y = torch.mm(a, b)
        own.clear()
        return y
"""

HONEST = """
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

class Seen(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))

class ModelNew(nn.Module):
    def forward(self, a, b):
        with Seen():
            return torch.mm(a, b)
"""
