import torch
import torch.nn as nn


class Model(nn.Module):
    """C[n] = A[n] @ B with A (N, M, K) and one B (K, L) for all."""

    def forward(self, A, B):
        return torch.matmul(A, B)


N = 16
M = 1024
K = 2048
L = 768


def get_inputs():
    return [torch.rand(N, M, K), torch.rand(K, L)]


def get_init_inputs():
    return []
