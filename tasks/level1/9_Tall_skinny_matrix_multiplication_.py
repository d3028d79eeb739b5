import torch
import torch.nn as nn


class Model(nn.Module):
    """C = A @ B with a tall A (M, N) and a wide B (N, M)."""

    def forward(self, A, B):
        return torch.matmul(A, B)


M = 32768
N = 32


def get_inputs():
    return [torch.rand(M, N), torch.rand(N, M)]


def get_init_inputs():
    return []
