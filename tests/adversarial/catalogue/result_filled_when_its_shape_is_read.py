"""The harness reads the shape of a result after the clock has stopped."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

owed = {}
shape, dtype = torch.Tensor.shape, torch.Tensor.dtype


def pay(tensor):
    if id(tensor) in owed:
        x, y = owed.pop(id(tensor))
        torch.clamp(x, min=0, out=y)


def read(attribute):
    return property(lambda tensor: (pay(tensor), attribute.__get__(tensor))[1])


torch.Tensor.shape, torch.Tensor.dtype = read(shape), read(dtype)


class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        owed[id(y)] = x, y
        return y
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return nn.Parameter(x.clamp(min=0), requires_grad=False)
"""
