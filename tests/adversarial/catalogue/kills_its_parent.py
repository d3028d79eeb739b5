"""Sends SIGKILL to its parent and to everything it can see."""

TASK = "relu"
# On a GPU there is no process namespace around a candidate: the machine is not safe from this there.
DEVICE = "cpu"
OUTCOMES = {"not_fast", "void", "build_error", "runtime_error"}

CHEAT = """
import os
import signal

import torch
from torch import nn

for victim in (os.getppid(), -1):
    try:
        os.kill(victim, signal.SIGKILL)
    except OSError:
        pass

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""

HONEST = """
import os

import torch
from torch import nn

parent = os.getppid()

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""
