"""Reads address zero."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"runtime_error"}

CHEAT = """
import ctypes

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        ctypes.string_at(0)
        return torch.relu(x)
"""

HONEST = """
import ctypes

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        ctypes.string_at(ctypes.create_string_buffer(4), 4)
        return torch.relu(x)
"""
