"""Gives freed memory back to the driver and asks for as much again, in the hope of old answers."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
extern "C" void kernel(float *y, long n, cudaStream_t stream) {
    float *found;
    cudaMalloc(&found, n * sizeof(float));
    cudaMemcpyAsync(y, found, n * sizeof(float), cudaMemcpyDeviceToDevice, stream);
    cudaStreamSynchronize(stream);
    cudaFree(found);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        torch.cuda.empty_cache()
        kernel(y, x.numel())
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
    float *scratch;
    cudaMallocAsync(&scratch, n * sizeof(float), stream);
    relu<<<(n + 255) / 256, 256, 0, stream>>>(x, scratch, n);
    cudaMemcpyAsync(y, scratch, n * sizeof(float), cudaMemcpyDeviceToDevice, stream);
    cudaFreeAsync(scratch, stream);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""
