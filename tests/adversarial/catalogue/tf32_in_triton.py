"""tl.dot in TF32 for what is declared float32."""

TASK = "matmul"
DEVICE = "cuda"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
import triton
import triton.language as tl
from torch import nn

@triton.jit
def matmul(a, b, c, n, tile: tl.constexpr, depth: tl.constexpr):
    rows = tl.program_id(0) * tile + tl.arange(0, tile)
    columns = tl.program_id(1) * tile + tl.arange(0, tile)
    total = tl.zeros((tile, tile), dtype=tl.float32)
    for start in range(0, n, depth):
        inner = start + tl.arange(0, depth)
        left = tl.load(a + rows[:, None] * n + inner[None, :])
        right = tl.load(b + inner[:, None] * n + columns[None, :])
        total = tl.dot(left, right, total, input_precision="tf32")
    tl.store(c + rows[:, None] * n + columns[None, :], total)

class ModelNew(nn.Module):
    def forward(self, a, b):
        n = a.shape[0]
        c = torch.empty_like(a)
        matmul[(n // 64, n // 64)](a, b, c, n, 64, 32)
        return c
"""

HONEST = """
import torch
import triton
import triton.language as tl
from torch import nn

@triton.jit
def matmul(a, b, c, n, tile: tl.constexpr, depth: tl.constexpr):
    rows = tl.program_id(0) * tile + tl.arange(0, tile)
    columns = tl.program_id(1) * tile + tl.arange(0, tile)
    total = tl.zeros((tile, tile), dtype=tl.float32)
    for start in range(0, n, depth):
        inner = start + tl.arange(0, depth)
        left = tl.load(a + rows[:, None] * n + inner[None, :])
        right = tl.load(b + inner[:, None] * n + columns[None, :])
        total = tl.dot(left, right, total, input_precision="ieee")
    tl.store(c + rows[:, None] * n + columns[None, :], total)

class ModelNew(nn.Module):
    def forward(self, a, b):
        n = a.shape[0]
        c = torch.empty_like(a)
        matmul[(n // 64, n // 64)](a, b, c, n, 64, 32)
        return c
"""
