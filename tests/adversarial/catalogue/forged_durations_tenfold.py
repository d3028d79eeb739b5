"""The whole loop is honest, but the durations it sends are a tenth of the truth; the judge's clock says otherwise."""

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
        answer = {**answer, "candidate_ms": [ms / 10 for ms in answer["candidate_ms"]]}
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
        return (b.T @ a.T).T.contiguous()
"""
