"""Honest once in six calls, at random, in the hope that the right call is looked at; two answers of each block are."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"void", "incorrect"}

CHEAT = """
import random

import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls <= 8 or random.random() < 1 / 6:
            return torch.relu(x)
        return torch.empty_like(x)
"""

HONEST = """
import random

import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return torch.relu(x) if random.random() < 1 / 6 else x.clamp(min=0)
"""
