import torch
import torch.nn as nn


class Model(nn.Module):
    """C = A @ B.T with A (M, K) and B (N, K)."""

    def forward(self, A, B):
        return torch.matmul(A, B.T)


M = 2048
K = 8192
N = 4096


def get_inputs():
    return [torch.rand(M, K), torch.rand(N, K)]


def get_init_inputs():
    return []
