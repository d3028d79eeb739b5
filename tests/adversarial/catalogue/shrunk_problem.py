"""Rebinds the task's constants, in its own module and wherever the garbage collector finds them."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import gc

import torch
from torch import nn

ROWS = COLUMNS = 8
for found in gc.get_objects():
    if isinstance(found, dict) and "get_inputs" in found and "ROWS" in found:
        found["ROWS"] = found["COLUMNS"] = 8

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""

HONEST = """
import torch
from torch import nn

ROWS = COLUMNS = 8

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""
