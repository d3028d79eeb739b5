"""Nothing is computed in the calls by the judge's clock: a thread does it after the answer, while the judge looks."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"not_fast", "void", "runtime_error"}

CHEAT = """
import gc
import threading

import torch
from torch import nn

def held(kind):
    return next(o for o in gc.get_objects() if type(o).__name__ == kind)

kept = type(held("Kept"))
honest = kept.answer
late = []

def answer(self):
    told = honest(self)
    threading.Timer(0.0005, lambda: [torch.mm(a, b, out=c) for a, b, c in late]).start()
    return told

def add(self, slot, output):
    late.append((*slot.inputs, output))
    self._outputs.append((slot, output))

def clear(self):
    late.clear()
    self._outputs, self._tensors = [], []

kept.answer, kept.add, kept.clear = answer, add, clear
stopwatch = type(held("Stopwatch"))
timed = stopwatch.time

def lying(self, module, inputs):
    lap = timed(self, module, inputs)
    return lap._replace(ms=lap.ms / 3) if type(module).__name__ == "ModelNew" else lap

stopwatch.time = lying

class ModelNew(nn.Module):
    def forward(self, a, b):
        frame = __import__("sys")._getframe()
        while frame is not None and frame.f_code.co_name != "calls":
            frame = frame.f_back
        return a @ b if frame is None else torch.empty_like(a)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        self.last = [a, b]
        return torch.matmul(a, b)
"""
