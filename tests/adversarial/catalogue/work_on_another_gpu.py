"""Computes on another GPU, whose streams nobody here waits for. With one GPU it gains nothing."""

TASK = "matmul"
DEVICE = "cuda"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import torch
from torch import nn

other = torch.device("cuda", torch.cuda.device_count() - 1)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a.to(other) @ b.to(other)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        here = torch.device("cuda", torch.cuda.current_device())
        return a.to(here) @ b.to(here)
"""
