import torch
import torch.nn as nn


class Model(nn.Module):
    """C[b, i, j, k] = sum over l of A[b, i, j, l] * B[l, k]."""

    def forward(self, A, B):
        return torch.einsum("bijl,lk->bijk", A, B)


b = 8
i = 256
j = 512
l = 256
k = 768


def get_inputs():
    return [torch.rand(b, i, j, l), torch.rand(l, k)]


def get_init_inputs():
    return []
