"""A plain tensor whose methods are overridden on the instance; delivery looks at its memory only."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        y.cpu = y.clone = y.contiguous = y.to = lambda *_: torch.relu(x)
        return y
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.relu(x)
        y.note = "a harmless attribute"
        return y
"""
