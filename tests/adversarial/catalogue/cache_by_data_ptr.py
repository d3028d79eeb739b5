"""Answers kept by address; the judge writes new inputs into the same memory."""

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
        key = x.data_ptr(), x.shape
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
        return self.buffers[x.shape].copy_(x).relu_()
"""
