"""Answers kept by the identity of the input object; every timed call has inputs of its own."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"void", "incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.known = {}

    def forward(self, x):
        key = id(x)
        if key not in self.known:
            self.known[key] = torch.relu(x)
        return self.known[key]
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.buffers = {}

    def forward(self, x):
        if x.shape not in self.buffers:
            self.buffers[x.shape] = torch.empty_like(x)
        return torch.clamp(x, min=0, out=self.buffers[x.shape])
"""
