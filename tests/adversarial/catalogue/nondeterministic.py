"""A little noise on every answer, different each time."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x) + 1e-3 * torch.randn(x.shape[1], device=x.device)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        torch.randn(x.shape[1], device=x.device)
        return torch.relu(x)
"""
