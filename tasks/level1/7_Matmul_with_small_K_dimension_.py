import torch
import torch.nn as nn


class Model(nn.Module):
    """C = A @ B with A (M, K), B (K, N) and K far smaller than M and N."""

    def forward(self, A, B):
        return torch.matmul(A, B)


M = 32768
N = 32768
K = 64


def get_inputs():
    return [torch.rand(M, K), torch.rand(K, N)]


def get_init_inputs():
    return []
