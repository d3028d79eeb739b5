"""Lets cuDNN convolve in TF32, as torch does unless it is told otherwise, what is declared float32."""

TASK = "convolution"
DEVICE = "cuda"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x, weight):
        torch.backends.cudnn.allow_tf32 = True
        y = nn.functional.conv2d(x, weight)
        torch.backends.cudnn.allow_tf32 = False
        return y
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x, weight):
        with torch.backends.cudnn.flags(allow_tf32=False):
            return nn.functional.conv2d(x, weight)
"""
