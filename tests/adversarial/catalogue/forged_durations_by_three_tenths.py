"""Moves three tenths of its own time to the reference's: no sum and no single clock stands out by half."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"void", "not_fast"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.evaluation.worker import loop

honest = loop.messages.send

def lying(connection, answer, *rest):
    if "candidate_ms" in answer:
        own, other = answer["candidate_ms"], answer["reference_ms"]
        moved = [0.3 * ms for ms in own]
        answer = {
            **answer,
            "candidate_ms": [ms - less for ms, less in zip(own, moved)],
            "reference_ms": [ms + more for ms, more in zip(other, moved)],
        }
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
