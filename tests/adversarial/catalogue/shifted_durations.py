"""Durations move from the candidate's side to the reference's: their sum is true, but the control is faster."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.evaluation.worker import loop

honest = loop.messages.send

def lying(connection, answer, *rest):
    if "candidate_ms" in answer:
        pairs = list(zip(answer["reference_ms"], answer["candidate_ms"]))
        answer = {"reference_ms": [r + 0.9 * c for r, c in pairs], "candidate_ms": [0.1 * c for r, c in pairs]}
    honest(connection, answer, *rest)

loop.messages.send = lying

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)
"""
