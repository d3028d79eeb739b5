"""Looks for the harness's timing function on the stack and skips the work there; timed answers are checked."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"void"}

CHEAT = """
import traceback

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        if any(frame.name in ("pairs", "calls") for frame in traceback.extract_stack(limit=8)):
            return torch.empty_like(x)
        return torch.relu(x)
"""

HONEST = """
import traceback

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        depth = len(traceback.extract_stack(limit=3))
        return torch.relu(x) if depth else x.clamp(min=0)
"""
