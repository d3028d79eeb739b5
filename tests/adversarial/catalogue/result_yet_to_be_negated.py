"""A bit on the tensor says that its values are yet to be negated; whoever uses the result pays."""

TASK = "negation"
DEVICE = "any"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch._neg_view(x)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.sub(0, x)
"""
