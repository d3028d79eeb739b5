"""Returns what lies in the judge's memory for this answer: nobody puts the right one there."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"incorrect"}

CHEAT = """
import gc

import torch
from torch import nn

def held(kind):
    return next(o for o in gc.get_objects() if type(o).__name__ == kind)


class ModelNew(nn.Module):
    def forward(self, x):
        for slot in held("Slots")._slots:
            if slot.inputs[0].data_ptr() == x.data_ptr():
                return slot._outputs[0].clone()
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        y = x.new_full(x.shape, float("nan"))
        return torch.clamp(x, min=0, out=y)
"""
