"""torch.relu is patched to dawdle, and kept unpatched for the candidate; the control's reference is faster."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import time

import torch
from torch import nn

honest = torch.relu

def dawdling(x):
    time.sleep(0.01)
    return honest(x)

torch.relu = dawdling

class ModelNew(nn.Module):
    def forward(self, x):
        return honest(x)
"""

HONEST = """
import torch
from torch import nn

honest = torch.relu

class ModelNew(nn.Module):
    def forward(self, x):
        return honest(x)
"""
