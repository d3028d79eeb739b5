"""A hook has the device wait for 30 us before the reference's kernel: too little to stand out."""

TASK = "matmul"
DEVICE = "cuda"
OUTCOMES = {"void", "not_fast"}

CHEAT = """
import torch
from torch import nn

def dawdle(module, arguments):
    if type(module).__name__ == "Model":
        torch.cuda._sleep(60000)

nn.modules.module.register_module_forward_pre_hook(dawdle)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""

HONEST = """
import torch
from torch import nn

names = []

def note(module, arguments):
    names[:] = [type(module).__name__]

nn.modules.module.register_module_forward_pre_hook(note)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""
