"""Only the first half of the rows is computed."""

TASK = "row_sum"
DEVICE = "any"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        y = x.new_empty(x.shape[0])
        y[: len(y) // 2] = x[: len(y) // 2].sum(dim=1)
        return y
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        y = x.new_empty(x.shape[0])
        half = len(y) // 2
        y[:half] = x[:half].sum(dim=1)
        y[half:] = x[half:].sum(dim=1)
        return y
"""
