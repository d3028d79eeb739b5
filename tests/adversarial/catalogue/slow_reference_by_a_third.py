"""A hook has the reference wait for a third of the time that the candidate took: too little to stand out on a CPU."""

TASK = "matmul"
DEVICE = "cpu"
OUTCOMES = {"void", "not_fast"}

CHEAT = """
import time

import torch
from torch import nn

took_s = 0.0

def dawdle(module, arguments):
    if type(module).__name__ == "Model":
        until = time.perf_counter() + took_s / 3
        while time.perf_counter() < until:
            pass

nn.modules.module.register_module_forward_pre_hook(dawdle)

class ModelNew(nn.Module):
    def forward(self, a, b):
        global took_s
        started = time.perf_counter()
        y = a @ b
        took_s = time.perf_counter() - started
        return y
"""

HONEST = """
import time

import torch
from torch import nn

took_s = 0.0

class ModelNew(nn.Module):
    def forward(self, a, b):
        global took_s
        started = time.perf_counter()
        y = a @ b
        took_s = time.perf_counter() - started
        return y
"""
