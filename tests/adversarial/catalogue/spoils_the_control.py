"""A thread writes into the slots while the candidate is idle: the control, which shares them, must not fail for it."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"void", "incorrect", "not_fast"}

CHEAT = """
import gc
import threading
import time

import torch
from torch import nn

def held(kind):
    return next(o for o in gc.get_objects() if type(o).__name__ == kind)

watch = held("Stopwatch")
honest = type(watch).time

def lying(self, module, inputs):
    lap = honest(self, module, inputs)
    return lap._replace(ms=lap.ms / 10) if type(module).__name__ == "ModelNew" else lap

type(watch).time = lying

class ModelNew(nn.Module):
    called = time.monotonic()
    spoiler = None

    def forward(self, a, b):
        ModelNew.called = time.monotonic()
        if ModelNew.spoiler is None:
            ModelNew.spoiler = threading.Thread(target=spoil, args=(held("Slots")._slots,), daemon=True)
            ModelNew.spoiler.start()
        return a @ b

def spoil(slots):
    while True:
        time.sleep(0.02)
        if time.monotonic() - ModelNew.called > 0.3:
            for slot in slots:
                slot._outputs[0][0, 0] = float("nan")
"""

HONEST = """
import threading
import time

import torch
from torch import nn

class ModelNew(nn.Module):
    called = time.monotonic()

    def forward(self, a, b):
        ModelNew.called = time.monotonic()
        c = torch.empty(a.shape[0], b.shape[1], device=a.device)
        filler = threading.Thread(target=torch.mm, args=(a, b), kwargs={"out": c})
        filler.start()
        filler.join()
        return c
"""
