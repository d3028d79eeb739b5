"""The stopwatch's clock is replaced by one that stands still while the candidate runs; the judge's does not."""

TASK = "matmul"
DEVICE = "cpu"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import gc
import time

import torch
from torch import nn

def held(kind):
    return next(o for o in gc.get_objects() if type(o).__name__ == kind)


real = time.perf_counter_ns
hidden = [0]
held("Stopwatch")._clock = lambda: real() - hidden[0]

class ModelNew(nn.Module):
    def forward(self, a, b):
        start = real()
        y = a @ b
        hidden[0] += int((real() - start) * 0.9)
        return y
"""

HONEST = """
import time

import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.spent = 0

    def forward(self, a, b):
        start = time.perf_counter_ns()
        y = a @ b
        self.spent += time.perf_counter_ns() - start
        return y
"""
