"""All work on a side stream that nobody waits for: the answer is taken before it is there."""

TASK = "matmul"
DEVICE = "cuda"
OUTCOMES = {"incorrect", "void"}

CHEAT = """
import torch
from torch import nn

side = torch.cuda.Stream()

class ModelNew(nn.Module):
    def forward(self, a, b):
        with torch.cuda.stream(side):
            return a @ b
"""

HONEST = """
import torch
from torch import nn

side = torch.cuda.Stream()

class ModelNew(nn.Module):
    def forward(self, a, b):
        current = torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            y = a @ b
        current.wait_stream(side)
        return y
"""
