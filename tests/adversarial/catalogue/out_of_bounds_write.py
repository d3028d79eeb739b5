"""Writes beyond its output as well: into the input."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x, beyond = x - y;
    if (i < n) y[i] = y[i + beyond] = x[i] > 0.0f ? x[i] : 0.0f;
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    relu<<<(n + 255) / 256, 256, 0, stream>>>(x, y, n);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""

HONEST = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    y[i] = i < n && x[i] > 0.0f ? x[i] : 0.0f;
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    relu<<<n / 256 + 1, 256, 0, stream>>>(x, y, n);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        padded = x.new_empty(x.numel() + 256)
        kernel(x, padded, x.numel())
        return padded[: x.numel()].view(x.shape)
"""
