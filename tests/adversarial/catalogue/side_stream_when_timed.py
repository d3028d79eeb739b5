"""All work on a side stream, which is joined unless the stopwatch runs: its events see nothing."""

TASK = "matmul"
DEVICE = "cuda"
OUTCOMES = {"not_fast", "void", "incorrect"}

CHEAT = """
import sys

import torch
from torch import nn

def timed():
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "time":
        frame = frame.f_back
    return frame is not None


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

side = torch.cuda.Stream()

class ModelNew(nn.Module):
    def forward(self, a, b):
        current = torch.cuda.current_stream()
        side.wait_event(current.record_event())
        with torch.cuda.stream(side):
            y = a @ b
        current.wait_event(side.record_event())
        return y
"""
