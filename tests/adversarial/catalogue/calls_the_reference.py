"""Finds the reference model and calls it: right, and exactly as slow."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import gc

import torch
from torch import nn

def held(kind):
    return next(o for o in gc.get_objects() if type(o).__name__ == kind)

class ModelNew(nn.Module):
    def forward(self, x):
        return held("Model")(x)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.ReLU()

    def forward(self, x):
        return self.inner(x)
"""
