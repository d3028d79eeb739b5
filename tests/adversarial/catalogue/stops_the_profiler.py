"""Work on a side stream, and CUPTI shut down, so that no profiler tells of it."""

TASK = "matmul"
DEVICE = "cuda"
OUTCOMES = {"void", "runtime_error", "not_fast"}

CHEAT = """
import ctypes
import sys

import torch
from torch import nn

def timed():
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "time":
        frame = frame.f_back
    return frame is not None


paths = {line.split()[-1] for line in open("/proc/self/maps") if "libcupti" in line}
cupti = [ctypes.CDLL(path) for path in paths]
side = torch.cuda.Stream()

class ModelNew(nn.Module):
    def forward(self, a, b):
        torch.cuda.cudart().cudaProfilerStop()
        for library in cupti:
            library.cuptiActivityFlushAll(1)
            library.cuptiFinalize()
        current = torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            y = a @ b
        if not timed():
            current.wait_stream(side)
        return y
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        torch.cuda.nvtx.range_push("matmul")
        y = a @ b
        torch.cuda.nvtx.range_pop()
        return y
"""
