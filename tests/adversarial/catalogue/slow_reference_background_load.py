"""Threads that spin while the reference runs."""

TASK = "relu"
DEVICE = "cpu"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import threading

import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

honest = torch.relu
idle = threading.Event()
burn = compile_c("void kernel(long n) { for (volatile long i = 0; i < n; i++); }")

def spin():
    while True:
        idle.wait()
        burn(1000000)

for _ in range(8):
    threading.Thread(target=spin, daemon=True).start()

class ModelNew(nn.Module):
    def forward(self, x):
        idle.clear()
        y = honest(x)
        idle.set()
        return y
"""

HONEST = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

burn = compile_c("void kernel(long n) { for (volatile long i = 0; i < n; i++); }")
burn(1000000)

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""
