"""In place only after the checked calls: saves an allocation where nobody would look."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"void", "incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return torch.relu(x) if self.calls <= 1 else x.relu_()
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return torch.relu(x) if self.calls <= 1 else x.clone().relu_()
"""
