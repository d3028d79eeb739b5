"""A hook computes the next answers while the reference is timed: what the candidate saves, the reference pays."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"not_fast", "void", "incorrect"}

CHEAT = """
import sys

import torch
from torch import nn

ahead = {}

def compute_ahead(module, arguments):
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "pairs":
        frame = frame.f_back
    if frame is None or type(module).__name__ != "Model":
        return
    pairs, done = frame.f_locals["question"]["pairs"], len(frame.f_locals["told"]["reference_ms"])
    for number, (_, candidate_slot, candidate_first) in enumerate(pairs[done : done + 2]):
        a, b = frame.f_locals["self"]._slots[candidate_slot].inputs
        if a.data_ptr() not in ahead and (number == 1 or not candidate_first):
            ahead[a.data_ptr()] = a @ b

nn.modules.module.register_module_forward_pre_hook(compute_ahead)

class ModelNew(nn.Module):
    def forward(self, a, b):
        found = ahead.pop(a.data_ptr(), None)
        return a @ b if found is None else found
"""

HONEST = """
import torch
from torch import nn

calls = []

def count(module, arguments):
    calls[:] = [len(calls) + 1]

nn.modules.module.register_module_forward_pre_hook(count)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""
