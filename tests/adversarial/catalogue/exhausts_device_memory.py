"""Allocates device memory until there is no more."""

TASK = "short_relu"
DEVICE = "cuda"
OUTCOMES = {"runtime_error"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        self.kept = []
        while True:
            self.kept.append(torch.empty(1 << 30, dtype=torch.uint8, device="cuda"))
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        self.kept = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
        return torch.relu(x)
"""
