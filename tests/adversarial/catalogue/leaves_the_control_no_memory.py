"""Leaves so little device memory that the judge has the control free its own, and the control's next call allocates."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"runtime_error", "void", "not_fast"}

TAKES_MEMORY = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.taken = None

    def forward(self, x):
        y = torch.relu(x)
        if self.taken is None:
            self.taken = torch.empty({n_bytes}, dtype=torch.uint8, device="cuda")
        return y
"""
CHEAT = TAKES_MEMORY.format(n_bytes="max(0, torch.cuda.mem_get_info()[0] - (3 << 29))")
HONEST = TAKES_MEMORY.format(n_bytes="3 << 29")
