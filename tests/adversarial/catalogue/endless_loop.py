"""Never returns, whatever signal asks it to."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"timeout"}

CHEAT = """
import signal

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        while True:
            pass
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        for _ in range(1000):
            pass
        return torch.relu(x)
"""
