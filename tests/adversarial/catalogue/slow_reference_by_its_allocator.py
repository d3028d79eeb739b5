"""The allocator is told to ask the system for every block, so that the reference's output faults page by page."""

TASK = "relu"
DEVICE = "cpu"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import ctypes

import torch
from torch import nn

libc = ctypes.CDLL(None)
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.outputs = {}
        self.calls = 0

    def forward(self, x):
        libc.mallopt(MMAP_THRESHOLD, 65536)
        libc.mallopt(TRIM_THRESHOLD, 0)
        self.calls += 1
        y = self.outputs.setdefault((x.shape, self.calls % 8), torch.empty_like(x))
        return torch.clamp(x, min=0, out=y)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.outputs = {}
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        y = self.outputs.setdefault((x.shape, self.calls % 8), torch.empty_like(x))
        return torch.clamp(x, min=0, out=y)
"""
