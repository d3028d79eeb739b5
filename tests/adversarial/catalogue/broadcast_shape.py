"""One row of answers that would broadcast over the rest."""

TASK = "row_sum"
DEVICE = "any"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return x.sum(dim=1)[:1]
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return x.sum(dim=1, keepdim=True).squeeze(1)
"""
