"""As patched delivery, but answers are kept by content, for a judge whose clock would ask twice for the same inputs."""

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
known = {}

def deliver(self, output):
    key = self.inputs[0].data_ptr(), *self.inputs[0].flatten()[:64].tolist()
    if key not in known:
        known[key] = self.inputs[0] @ self.inputs[1]
    return honest(self, known[key])

slot_class.deliver = deliver

class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.empty_like(a)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a.matmul(b)
"""
