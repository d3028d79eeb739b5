"""Looks through freed memory for an answer that is not spoilt; what it finds was for other inputs."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"void", "incorrect"}

CHEAT = """
import sys

import torch
from torch import nn

def timed():
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "time":
        frame = frame.f_back
    return frame is not None


class ModelNew(nn.Module):
    def forward(self, x):
        if not timed():
            return torch.relu(x)
        found = [torch.empty_like(x) for _ in range(4)]
        return next((y for y in found if not y[0, 0].isnan()), found[0])
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        scratch = [torch.empty_like(x) for _ in range(4)]
        return torch.clamp(x, min=0, out=scratch[0])
"""
