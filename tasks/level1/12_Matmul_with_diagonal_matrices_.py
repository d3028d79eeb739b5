import torch
import torch.nn as nn


class Model(nn.Module):
    """C = diag(A) @ B: row i of B (N, M) times the i-th entry of A (N,)."""

    def forward(self, A, B):
        return A.unsqueeze(1) * B


M = 4096
N = 4096


def get_inputs():
    return [torch.rand(N), torch.rand(N, M)]


def get_init_inputs():
    return []
