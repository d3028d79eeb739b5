"""Works on one stream and leaves another as the current one, so that the second event sees nothing."""

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


main, side = torch.cuda.current_stream(), torch.cuda.Stream()

class ModelNew(nn.Module):
    def forward(self, a, b):
        torch.cuda.set_stream(main)
        y = a @ b
        if timed():
            torch.cuda.set_stream(side)
        return y
"""

HONEST = """
import torch
from torch import nn

side = torch.cuda.Stream()

class ModelNew(nn.Module):
    def forward(self, a, b):
        main = torch.cuda.current_stream()
        side.wait_stream(main)
        torch.cuda.set_stream(side)
        y = a @ b
        torch.cuda.set_stream(main)
        main.wait_stream(side)
        return y
"""
