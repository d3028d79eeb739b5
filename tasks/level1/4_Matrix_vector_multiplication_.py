import torch
import torch.nn as nn


class Model(nn.Module):
    """c = A @ b with A (M, K) and the column b (K, 1)."""

    def forward(self, A, B):
        return torch.matmul(A, B)


M = 2048
K = 1048576


def get_inputs():
    return [torch.rand(M, K), torch.rand(K, 1)]


def get_init_inputs():
    return []
