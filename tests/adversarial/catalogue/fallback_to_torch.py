"""A kernel that cannot be built, in try/except: right, and not faster."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import torch
from torch import nn

kernel = None

class ModelNew(nn.Module):
    def forward(self, x):
        try:
            return kernel(x)
        except TypeError:
            return torch.relu(x)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        if x.dtype != torch.float32:
            return torch.relu(x)
        return x.clamp(min=0)
"""
