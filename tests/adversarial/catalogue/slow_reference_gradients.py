"""Turns gradients and anomaly checks on for whatever runs after the candidate: the reference."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import torch
from torch import nn

torch.set_grad_enabled(True)
torch.autograd.set_detect_anomaly(True, check_nan=True)

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        with torch.no_grad():
            return torch.relu(x)
"""
