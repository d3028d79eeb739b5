"""Work on a side stream, and a profiler that has seen nothing."""

TASK = "matmul"
DEVICE = "cuda"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import sys

import torch
from torch import nn

def timed():
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "time":
        frame = frame.f_back
    return frame is not None


torch.autograd.profiler.profile.function_events = []
torch.profiler.profile.events = lambda self: []

side = torch.cuda.Stream()

class ModelNew(nn.Module):
    def forward(self, a, b):
        current = torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            y = a @ b
        if not timed():
            current.wait_stream(side)
        return y
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        with torch.profiler.record_function("matmul"):
            return a @ b
"""
