import torch
import torch.nn as nn


class Model(nn.Module):
    """y = x * sigmoid(x)."""

    def forward(self, x):
        return x * torch.sigmoid(x)


batch_size = 4096
dim = 393216


def get_inputs():
    return [torch.rand(batch_size, dim)]


def get_init_inputs():
    return []
