import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    """y = clip(x / 6 + 1 / 2, 0, 1)."""

    def forward(self, x):
        return F.hardsigmoid(x)


batch_size = 4096
dim = 393216


def get_inputs():
    return [torch.rand(batch_size, dim)]


def get_init_inputs():
    return []
