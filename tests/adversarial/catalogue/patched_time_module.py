"""time.perf_counter_ns stands still; the stopwatch took its clock before the candidate was loaded."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import time

import torch
from torch import nn

time.perf_counter_ns = lambda: 0
time.perf_counter = time.monotonic = time.time = lambda: 0.0

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""

HONEST = """
import time

import torch
from torch import nn

loaded_at = time.perf_counter_ns()

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""
