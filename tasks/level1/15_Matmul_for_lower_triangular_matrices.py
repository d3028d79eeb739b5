import torch
import torch.nn as nn


class Model(nn.Module):
    """C = tril(A @ B) for lower triangular A and B, (M, M)."""

    def forward(self, A, B):
        return torch.tril(torch.matmul(A, B))


M = 4096


def get_inputs():
    A, B = torch.rand(M, M), torch.rand(M, M)
    return [torch.tril(A), torch.tril(B)]


def get_init_inputs():
    return []
