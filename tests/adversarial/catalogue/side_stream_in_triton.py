"""A Triton kernel launched on a side stream that is joined unless the stopwatch runs."""

TASK = "short_relu"
DEVICE = "cuda"
OUTCOMES = {"void", "not_fast", "incorrect"}

CHEAT = """
import sys

import torch
import triton
import triton.language as tl
from torch import nn

def timed():
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "time":
        frame = frame.f_back
    return frame is not None


side = torch.cuda.Stream()

@triton.jit
def relu(x, y, n, block: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    tl.store(y + i, tl.maximum(tl.load(x + i, i < n), 0.0), i < n)

class ModelNew(nn.Module):
    def forward(self, x):
        current = torch.cuda.current_stream()
        y = torch.empty_like(x)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            relu[(triton.cdiv(x.numel(), 1024),)](x, y, x.numel(), 1024)
        if not timed():
            current.wait_stream(side)
        return y
"""

HONEST = """
import torch
import triton
import triton.language as tl
from torch import nn

side = torch.cuda.Stream()

@triton.jit
def relu(x, y, n, block: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    tl.store(y + i, tl.maximum(tl.load(x + i, i < n), 0.0), i < n)

class ModelNew(nn.Module):
    def forward(self, x):
        current = torch.cuda.current_stream()
        y = torch.empty_like(x)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            relu[(triton.cdiv(x.numel(), 1024),)](x, y, x.numel(), 1024)
        current.wait_stream(side)
        return y
"""
