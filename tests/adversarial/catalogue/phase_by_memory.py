"""Honest only on the memory of the first, checked, call; timed calls have slots of their own, and are checked too."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"void", "incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = 0

    def forward(self, x):
        self.first = self.first or x.data_ptr()
        return torch.relu(x) if x.data_ptr() == self.first else torch.empty_like(x)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        offset = x.storage_offset()
        return torch.relu(x) if offset == 0 else x.clamp(min=0)
"""
