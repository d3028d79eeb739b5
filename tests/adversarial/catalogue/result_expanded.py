"""One element of each row is written, and the strides say that the others are the same."""

TASK = "repetition"
DEVICE = "any"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return x.clone().expand(-1, 1024 if x.shape[0] == 2048 else 4096)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return x.expand(-1, 1024 if x.shape[0] == 2048 else 4096).contiguous()
"""
