"""A hook that Python calls at each function burns time when that function is the reference's."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import sys
import time

import torch
from torch import nn

def slow(frame, event, argument):
    if event == "call" and frame.f_code.co_filename == "<reference>":
        until = time.perf_counter() + 0.004
        while time.perf_counter() < until:
            pass

sys.setprofile(slow)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""

HONEST = """
import sys

import torch
from torch import nn

calls = []
sys.setprofile(lambda frame, event, argument: None)
sys.setprofile(None)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""
