"""Computes in float16 what is declared float32."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        return (a.half() @ b.half()).float()
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        return (a.double() @ b.double()).float()
"""
