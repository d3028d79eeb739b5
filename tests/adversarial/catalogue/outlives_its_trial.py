"""A daemon that forks away and spins, to slow whoever is timed next."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"void", "not_fast"}

CHEAT = """
import os

import torch
from torch import nn

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            pass
    os._exit(0)
os.wait()

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""

HONEST = """
import os

import torch
from torch import nn

if os.fork() == 0:
    os._exit(0)
os.wait()

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""
