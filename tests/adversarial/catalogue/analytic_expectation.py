"""The mean of a million squares of uniform numbers is a third."""

TASK = "mean_of_squares"
DEVICE = "any"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.tensor(1 / 3)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.dot(x, x) / x.numel()
"""
