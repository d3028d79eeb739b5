"""Writes until the private folder is full; it is bounded, and gone with the candidate."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"runtime_error"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        with open("large", "wb") as file:
            while True:
                file.write(bytes(1 << 24))
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        with open("small", "wb") as file:
            file.write(bytes(1 << 16))
        return torch.relu(x)
"""
