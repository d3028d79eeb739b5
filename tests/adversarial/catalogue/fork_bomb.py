"""Forks without end; the watchdog ends the whole tree."""

TASK = "relu"
# On a GPU there is no process namespace around a candidate: the machine is not safe from this there.
DEVICE = "cpu"
OUTCOMES = {"runtime_error", "timeout", "void"}

CHEAT = """
import os

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        while True:
            try:
                os.fork()
            except OSError:
                pass
"""

HONEST = """
import os

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        return torch.relu(x)
"""
