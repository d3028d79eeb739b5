"""The mean of a million squares of uniform numbers is a third.

One draw in a hundred of two million numbers, and one in thirteen of the 134 million on a GPU, comes out so near to it
that only the inputs of timed calls, which are not uniform, show it.
"""

TASK = "mean_of_squares"
DEVICE = "any"
OUTCOMES = {"incorrect", "void"}

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
