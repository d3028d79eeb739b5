"""Writes where nothing is mapped; its context is lost, and nobody else's."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"runtime_error"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    y[i + (1L << 40)] = x[i];
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
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    relu<<<n / 192 + 2, 192, 0, stream>>>(x, y, n);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""
