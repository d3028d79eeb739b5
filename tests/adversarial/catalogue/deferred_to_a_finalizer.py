"""The work is done when an object that hangs on the result is freed: after the clock has stopped, and too late."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"incorrect", "void"}

CHEAT = """
import torch
from torch import nn

class Later:
    def __init__(self, a, b, y):
        self.job = a, b, torch.as_strided(y, y.shape, y.stride())

    def __del__(self):
        a, b, y = self.job
        torch.mm(a, b, out=y)

class ModelNew(nn.Module):
    def forward(self, a, b):
        y = torch.empty_like(a)
        y.later = Later(a, b, y)
        return y
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        y = torch.empty_like(a)
        torch.mm(a, b, out=y)
        y.later = None
        return y
"""
