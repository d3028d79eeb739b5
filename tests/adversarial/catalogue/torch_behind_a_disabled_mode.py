"""Where torch's operators are forbidden: calls them where the recorder is switched off."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"void"}
TORCH_OPERATORS = "forbidden"

CHEAT = """
import torch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

class ModelNew(nn.Module):
    def forward(self, x):
        with _disable_current_modes():
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
