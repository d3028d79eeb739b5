"""Allocates until there is no more; the limit is the candidate's own."""

TASK = "relu"
# On a GPU there is no process namespace around a candidate: the machine is not safe from this there.
DEVICE = "cpu"
OUTCOMES = {"runtime_error"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        self.kept = []
        while True:
            self.kept.append(torch.empty(1 << 30, dtype=torch.uint8))
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        self.kept = torch.empty(1 << 24, dtype=torch.uint8)
        return torch.relu(x)
"""
