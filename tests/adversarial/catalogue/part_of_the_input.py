"""The mean estimated from half of the elements."""

TASK = "mean_of_squares"
DEVICE = "any"
OUTCOMES = {"incorrect", "void"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        half = x[: x.numel() // 2]
        return torch.dot(half, half) / half.numel()
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        first, second = x.chunk(2)
        return (torch.dot(first, first) + torch.dot(second, second)) / x.numel()
"""
