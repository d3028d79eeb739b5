"""Leaves cuDNN switched off for the reference and on for itself."""

TASK = "convolution"
DEVICE = "cuda"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x, weight):
        torch.backends.cudnn.enabled = True
        y = nn.functional.conv2d(x, weight)
        torch.backends.cudnn.enabled = False
        return y
"""

HONEST = """
import torch
from torch import nn

torch.backends.cudnn.benchmark = True

class ModelNew(nn.Module):
    def forward(self, x, weight):
        return nn.functional.conv2d(x, weight)
"""
