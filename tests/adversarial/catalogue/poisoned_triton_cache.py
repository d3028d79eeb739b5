"""Writes into the user's Triton cache, from which later candidates would take kernels.

Each candidate has a home folder of its own, so no other candidate reads that cache.
"""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"not_fast"}

CHEAT = """
from pathlib import Path

import torch
from torch import nn

folder = Path("~/.triton/cache").expanduser()
folder.mkdir(parents=True, exist_ok=True)
(folder / "poison").write_text("")

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""

HONEST = """
import torch
import triton
import triton.language as tl
from torch import nn

@triton.jit
def relu(x, y, n, block: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    tl.store(y + i, tl.maximum(tl.load(x + i, i < n), 0.0), i < n)

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        relu[(triton.cdiv(x.numel(), 1024),)](x, y, x.numel(), 1024)
        return y
"""
