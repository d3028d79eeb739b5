"""A trace function delays each call of the reference's forward; the judge's control has none."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import sys
import time

import torch
from torch import nn

def slow(frame, event, _):
    if event == "call" and frame.f_code.co_filename == "<reference>":
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass

sys.settrace(slow)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""

HONEST = """
import sys

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        before = sys.gettrace()
        sys.settrace(None)
        y = torch.mm(a, b)
        sys.settrace(before)
        return y
"""
