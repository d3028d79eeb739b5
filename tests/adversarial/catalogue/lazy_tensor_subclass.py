"""A tensor subclass that would compute when it is copied; only plain tensors are taken."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

class Lazy(torch.Tensor):
    pass

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.empty_like(x).as_subclass(Lazy)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x).as_subclass(torch.Tensor)
"""
