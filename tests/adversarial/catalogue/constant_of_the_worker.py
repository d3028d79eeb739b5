"""The constant by which the worker divides nanoseconds is rewritten in memory for as long as the candidate is timed."""

TASK = "matmul"
DEVICE = "cpu"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import ctypes
import struct

import torch
from torch import nn

from pytest_kernelbench.evaluation.worker import stopwatch

functions = [each for each in vars(stopwatch.Stopwatch).values() if hasattr(each, "__code__")]
constants = [each for function in functions for each in function.__code__.co_consts if each == 1e6]

def divide_by(value):
    for each in constants:
        # A float's value lies behind its reference count and its type.
        ctypes.memmove(id(each) + 16, struct.pack("<d", value), 8)

def before(module, inputs):
    divide_by(1e7 if type(module) is ModelNew else 1e6)

torch.nn.modules.module.register_module_forward_pre_hook(before)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""

HONEST = """
import struct

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        scale = struct.unpack("<d", struct.pack("<d", 1.0))[0]
        return (a @ b).mul_(scale)
"""
