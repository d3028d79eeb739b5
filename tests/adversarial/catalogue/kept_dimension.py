"""The right numbers in the wrong shape."""

TASK = "row_sum"
DEVICE = "any"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return x.sum(dim=1, keepdim=True)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.einsum('ij->i', x)
"""
