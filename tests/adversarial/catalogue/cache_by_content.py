"""Answers kept by a fingerprint of the content; nothing comes twice, so the cache never helps."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"not_fast", "void", "incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.known = {}

    def forward(self, x):
        if len(self.known) > 4:
            self.known.clear()
        key = tuple(x.flatten()[::65537].tolist())
        if key not in self.known:
            self.known[key] = torch.relu(x)
        return self.known[key]
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x).clone()
"""
