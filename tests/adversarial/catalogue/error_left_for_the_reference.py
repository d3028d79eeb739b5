"""Leaves an error of the runtime behind, which torch reports at its next launch: the reference's."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"runtime_error"}

CHEAT = """
import ctypes

import torch
from torch import nn

paths = {line.split()[-1] for line in open("/proc/self/maps") if "libcudart" in line}
runtime = ctypes.CDLL(min(paths))

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.relu(x)
        runtime.cudaSetDevice(1000)
        return y
"""

HONEST = """
import ctypes

import torch
from torch import nn

paths = {line.split()[-1] for line in open("/proc/self/maps") if "libcudart" in line}
runtime = ctypes.CDLL(min(paths))

class ModelNew(nn.Module):
    def forward(self, x):
        runtime.cudaSetDevice(1000)
        runtime.cudaGetLastError()
        return torch.relu(x)
"""
