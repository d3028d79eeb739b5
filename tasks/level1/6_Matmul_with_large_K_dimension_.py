import torch
import torch.nn as nn


class Model(nn.Module):
    """C = A @ B with A (M, K), B (K, N) and K far larger than M and N."""

    def forward(self, A, B):
        return torch.matmul(A, B)


M = 256
N = 256
K = 524288


def get_inputs():
    return [torch.rand(M, K), torch.rand(K, N)]


def get_init_inputs():
    return []
