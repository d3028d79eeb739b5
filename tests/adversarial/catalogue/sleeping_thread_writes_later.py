"""A thread wakes after the clock has stopped and writes into the judge's memory; what arrives late does not count."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"incorrect", "void", "not_fast"}

CHEAT = """
import gc
import threading
import time

import torch
from torch import nn

def held(kind):
    return next(o for o in gc.get_objects() if type(o).__name__ == kind)

class ModelNew(nn.Module):
    def forward(self, x):
        slots = held("Slots")._slots

        def later():
            time.sleep(0.005)
            for slot in slots:
                slot._outputs[0].copy_(torch.relu(slot.inputs[0]))

        threading.Thread(target=later).start()
        return torch.empty_like(x)
"""

HONEST = """
import time

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        time.sleep(0.0)
        return torch.relu(x)
"""
