"""A Python thread does the work after forward has returned; the answer is taken at once, and is not there."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"incorrect", "void"}

CHEAT = """
import threading
import time

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)

        def later():
            time.sleep(0.02)
            y.copy_(torch.relu(x))

        threading.Thread(target=later).start()
        return y
"""

HONEST = """
import threading

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        thread = threading.Thread(target=lambda: y.copy_(torch.relu(x)))
        thread.start()
        thread.join()
        return y
"""
