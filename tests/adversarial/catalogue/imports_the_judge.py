"""Imports the judge and loosens every limit it can find; the judge is another process."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
from dataclasses import replace

import torch
from torch import nn

from pytest_kernelbench.evaluation import protocols
from pytest_kernelbench.evaluation.clock import estimates
from pytest_kernelbench.evaluation.correctness import comparison
from pytest_kernelbench.evaluation.device import traits

estimates.MOST_AROUND = 0.0
estimates.CLAIM_ERROR = 0.5
for name, row in traits.DEVICES.items():
    traits.DEVICES[name] = replace(row, margins={"fast": -1.0, "full": -1.0}, floor_share=0.0)
comparison.Expected.objection = lambda *_: None
protocols.PROTOCOLS.clear()

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""

HONEST = """
import torch
from torch import nn

import pytest_kernelbench.inline

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""
