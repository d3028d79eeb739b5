"""A softmax over many elements is all zeros within 1e-4; not within what eager PyTorch errs."""

TASK = "softmax"
DEVICE = "any"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) + torch.softmax(x, dim=1)
"""
