"""Changes limits and cache settings of the whole context, in the hope that they hurt the reference."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    static bool changed = [] {
        cudaDeviceSetLimit(cudaLimitStackSize, 64 << 10);
        cudaDeviceSetLimit(cudaLimitMallocHeapSize, 1 << 30);
        cudaDeviceSetCacheConfig(cudaFuncCachePreferShared);
        return true;
    }();
    (void)changed;
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
    extern __shared__ float tile[];
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i >= n) return;
    tile[threadIdx.x] = x[i];
    y[i] = tile[threadIdx.x] > 0.0f ? tile[threadIdx.x] : 0.0f;
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    cudaFuncSetAttribute(relu, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 << 10);
    cudaFuncSetCacheConfig(relu, cudaFuncCachePreferShared);
    relu<<<(n + 1023) / 1024, 1024, 64 << 10, stream>>>(x, y, n);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""
