"""An eighth of the rows where the events are, the rest on a side stream that is not joined when timed."""

TASK = "matmul"
DEVICE = "cuda"
OUTCOMES = {"void", "not_fast", "incorrect"}

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
        y, rows = torch.empty_like(a), a.shape[0] // 8
        side.wait_stream(current)
        with torch.cuda.stream(side):
            torch.mm(a[rows:], b, out=y[rows:])
        torch.mm(a[:rows], b, out=y[:rows])
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
        y, rows = torch.empty_like(a), a.shape[0] // 2
        side.wait_stream(current)
        with torch.cuda.stream(side):
            torch.mm(a[rows:], b, out=y[rows:])
        torch.mm(a[:rows], b, out=y[:rows])
        current.wait_stream(side)
        return y
"""
