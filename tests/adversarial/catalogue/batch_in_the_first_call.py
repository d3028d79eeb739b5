"""The first call of a block computes the answers of all, so that five of six look free. The judge's clock sees all."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"not_fast", "void", "incorrect"}

CHEAT = """
import gc
import sys

import torch
from torch import nn

def held(kind):
    return next(o for o in gc.get_objects() if type(o).__name__ == kind)


done = {}
asked = [None]

def answer_all(question, slots):
    numbers = question.get("slots") or [pair[1] for pair in question["pairs"]]
    for number in numbers:
        a, b = slots[number].inputs
        done[a.data_ptr()] = a @ b
    asked[0] = question

class ModelNew(nn.Module):
    def forward(self, a, b):
        frame = sys._getframe()
        while frame is not None and frame.f_code.co_name not in ("pairs", "calls"):
            frame = frame.f_back
        if frame is None:
            return a @ b
        question = frame.f_locals["question"]
        if asked[0] is not question:
            answer_all(question, frame.f_locals["self"]._slots)
        return done[a.data_ptr()]
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        rows = [part @ b for part in a.split(128)]
        return torch.cat(rows)
"""
