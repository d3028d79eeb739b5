"""A thread watches the shared inputs and has the answer before the question; a worker that nobody asks must be idle."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"void", "incorrect", "not_fast"}  # on a busy machine, its thread is seldom ahead

CHEAT = """
import gc
import threading

import torch
from torch import nn

def held(kind):
    return next(o for o in gc.get_objects() if type(o).__name__ == kind)


known = {}

def ahead(slots):
    while True:
        for slot in list(slots._slots):
            a, b = slot.inputs
            key = a.data_ptr(), float(a[0, 0]), float(b[0, 0])
            if key not in known:
                known[key] = a @ b

threading.Thread(target=ahead, args=(held("Slots"),), daemon=True).start()

class ModelNew(nn.Module):
    def forward(self, a, b):
        key = a.data_ptr(), float(a[0, 0]), float(b[0, 0])
        found = known.get(key)
        return a @ b if found is None else found
"""

HONEST = """
import threading

import torch
from torch import nn

idle = threading.Event()
threading.Thread(target=idle.wait, daemon=True).start()

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""
