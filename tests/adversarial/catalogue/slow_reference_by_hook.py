"""A global forward hook delays every module but the candidate."""

TASK = "softmax"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import time

import torch
from torch import nn

def dawdle(module, arguments):
    if type(module).__name__ == "Model":
        time.sleep(0.01)

nn.modules.module.register_module_forward_pre_hook(dawdle)

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=1)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return nn.functional.softmax(x, dim=-1)
"""
