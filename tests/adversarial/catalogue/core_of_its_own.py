"""Runs on the core that launches fastest, where the control has any: cores of a virtual machine differ by a third."""

TASK = "launches"
DEVICE = "cuda"
OUTCOMES = {"not_fast"}

CHEAT = """
import os
import time

import torch
from torch import nn

def seconds_on(core, x):
    os.sched_setaffinity(0, {core})
    started = time.perf_counter()
    for _ in range(200):
        x = torch.relu(x)
    torch.cuda.synchronize()
    return time.perf_counter() - started

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.cores = sorted(os.sched_getaffinity(0))
        self.core = None

    def forward(self, x):
        if self.core is None:
            self.core = min(self.cores, key=lambda core: seconds_on(core, x))
        os.sched_setaffinity(0, {self.core})
        return torch.tanh(torch.relu(x) + x) * x
"""

HONEST = """
import os

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        assert os.sched_getaffinity(0)
        return torch.tanh(torch.relu(x) + x) * x
"""
