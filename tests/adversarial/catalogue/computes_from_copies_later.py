"""As computes_when_it_hands_over, with copies of the inputs: it is what the copies take that counts then."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

_PATCHED = """
import gc

import torch
from torch import nn

def held(kind):
    return next(o for o in gc.get_objects() if type(o).__name__ == kind)

bench = type(held("_Bench"))

def calls(self, question, _):
    self._kept = [[{kept} for value in self._slots[number].inputs] for number in question["slots"]]
    return {{"kept": len(self._kept)}}

def hand_over(self, question, _):
    for (a, b), number in zip(self._kept, question["slots"]):
        torch.mm(a, b, out=self._slots[number]._outputs[0])
    self._stopwatch.settle()
    return {{"handed_over": len(question["slots"])}}

bench.calls, bench.hand_over = calls, hand_over
stopwatch = type(held("Stopwatch"))
honest = stopwatch.time

def lying(self, module, inputs):
    lap = honest(self, module, inputs)
    return lap._replace(ms=lap.ms / 3) if type(module).__name__ == "ModelNew" else lap

stopwatch.time = lying

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""

CHEAT = _PATCHED.format(kept="value.clone()")

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        self.last = [a.clone(), b.clone()]
        return torch.matmul(a, b)
"""
