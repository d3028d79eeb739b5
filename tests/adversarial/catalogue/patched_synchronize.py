"""Nobody waits for the device any more, and the candidate's events are made up."""

TASK = "matmul"
DEVICE = "cuda"
OUTCOMES = {"void", "incorrect", "not_fast"}

CHEAT = """
import torch
from torch import nn

honest = torch.cuda.Event.elapsed_time
mine = [False]

def elapsed_time(self, end):
    if mine[0]:
        mine[0] = False
        return 0.03
    end.synchronize()
    return honest(self, end)

torch.cuda.Event.elapsed_time = elapsed_time
torch.cuda.synchronize = lambda *_: None
torch._C._cuda_synchronize = lambda *_: None

class ModelNew(nn.Module):
    def forward(self, a, b):
        mine[0] = True
        return a @ b
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        y = a @ b
        torch.cuda.synchronize()
        return y
"""
