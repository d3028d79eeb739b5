"""Leaves torch with one thread for the reference and takes all for itself; each side keeps its own number."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import torch
from torch import nn

threads = torch.get_num_threads()

class ModelNew(nn.Module):
    def forward(self, a, b):
        torch.set_num_threads(threads)
        y = a @ b
        torch.set_num_threads(1)
        return y
"""

HONEST = """
import torch
from torch import nn

threads = torch.get_num_threads()

class ModelNew(nn.Module):
    def forward(self, a, b):
        torch.set_num_threads(threads)
        return a @ b
"""
