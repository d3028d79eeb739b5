"""The work is done when Python collects garbage, which the harness may do between two calls: too late, or never."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"incorrect", "void"}

CHEAT = """
import gc

import torch
from torch import nn

jobs = []

def work(phase, info):
    while jobs:
        a, b, y = jobs.pop()
        torch.mm(a, b, out=y)

gc.callbacks.append(work)
gc.set_threshold(20)

class ModelNew(nn.Module):
    def forward(self, a, b):
        y = torch.empty_like(a)
        jobs.append((a, b, y))
        return y
"""

HONEST = """
import gc

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        y = torch.empty_like(a)
        gc.collect(0)
        return torch.mm(a, b, out=y)
"""
