"""A hundred megabytes of output; it goes nowhere."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import os

import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.done = False

    def forward(self, x):
        if not self.done:
            self.done = True
            for _ in range(100):
                os.write(1, bytes(1 << 20))
        return torch.relu(x)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        print("running")
        return torch.relu(x)
"""
