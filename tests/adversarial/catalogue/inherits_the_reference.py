"""Builds the reference class from the source that is kept for tracebacks and inherits from it."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"not_fast", "void", "build_error"}

CHEAT = """
import linecache

import torch

found = {}
exec("".join(linecache.getlines("<reference>")), found)


class ModelNew(found["Model"]):
    pass
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.ReLU):
    def forward(self, x):
        return super().forward(x)
"""
