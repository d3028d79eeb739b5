import torch
import torch.nn as nn


class Model(nn.Module):
    """C[b] = A[b] @ B[b] with A (batch, m, k) and B (batch, k, n)."""

    def forward(self, A, B):
        return torch.bmm(A, B)


batch_size = 128
m = 512
k = 1024
n = 2048


def get_inputs():
    return [torch.rand(batch_size, m, k), torch.rand(batch_size, k, n)]


def get_init_inputs():
    return []
