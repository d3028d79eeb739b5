"""Nothing is transposed but the strides; of a result with memory of its own, that is right too."""

TASK = "transposition"
DEVICE = "any"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return x.t()
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        y = x.new_empty(x.shape[1], x.shape[0])
        y.copy_(x.t())
        return y
"""
