"""The work is done when the answer is delivered, after the clock has stopped; the judge's clock includes delivery."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"void"}

CHEAT = """
import gc

import torch
from torch import nn

def held(kind):
    return next(o for o in gc.get_objects() if type(o).__name__ == kind)

slot_class = type(held("Slots")).attach.__globals__["Slot"]
honest = slot_class.deliver
slot_class.deliver = lambda self, output: honest(self, self.inputs[0] @ self.inputs[1])

class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.empty_like(a)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        y = torch.empty_like(a)
        return torch.mm(a, b, out=y)
"""
