"""forward starts a timer and returns at once; the handler of its signal does the work when no clock runs."""

TASK = "relu"
DEVICE = "cpu"
OUTCOMES = {"incorrect", "void", "not_fast"}

CHEAT = """
import signal

import torch
from torch import nn

due = []

def compute(*_):
    while due:
        x, y = due.pop()
        torch.clamp(x, min=0, out=y)

signal.signal(signal.SIGALRM, compute)

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        due.append((x, y))
        signal.setitimer(signal.ITIMER_REAL, 0.0002)
        return y
"""

HONEST = """
import signal

import torch
from torch import nn

signal.signal(signal.SIGALRM, lambda *_: None)

class ModelNew(nn.Module):
    def forward(self, x):
        signal.setitimer(signal.ITIMER_REAL, 5)
        y = torch.clamp(x, min=0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        return y
"""
