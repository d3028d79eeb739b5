"""The reference is said to take twice as long as it does: longer than the time that passed, or than the control's."""

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
        answer = {**answer, "reference_ms": [ms * 2.5 for ms in answer["reference_ms"]]}
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
        return torch.einsum('ij,jk->ik', a, b)
"""
