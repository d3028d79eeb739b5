"""As tenfold, but more modest: a third."""

TASK = "mean_of_squares"
DEVICE = "any"
OUTCOMES = {"void", "not_fast"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.evaluation.worker import loop

honest = loop.messages.send

def lying(connection, answer, *rest):
    if "candidate_ms" in answer:
        answer = {**answer, "candidate_ms": [ms / 3 for ms in answer["candidate_ms"]]}
    honest(connection, answer, *rest)

loop.messages.send = lying

class ModelNew(nn.Module):
    def forward(self, x):
        return (x * x).mean()
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.mean(torch.square(x))
"""
