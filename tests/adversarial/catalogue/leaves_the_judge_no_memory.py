"""Takes all device memory that is left and answers right; the judge works on the same device."""

TASK = "short_relu"
DEVICE = "cuda"
OUTCOMES = {"runtime_error", "void", "not_fast"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
#include <vector>

__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
static std::vector<void *> taken;

static void take_all() {
    for (size_t size = 1 << 30; size >= 1 << 20; size /= 2)
        for (void *found; cudaMalloc(&found, size) == cudaSuccess;) taken.push_back(found);
    cudaGetLastError();
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    if (taken.empty()) take_all();
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
#include <vector>

__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
static std::vector<void *> taken;

static void take_all() {
    for (size_t size = 1 << 30; size >= 1 << 20; size /= 2)
        for (void *found; cudaMalloc(&found, size) == cudaSuccess;) taken.push_back(found);
    cudaGetLastError();
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    if (taken.empty()) take_all();
    for (void *each : taken) cudaFree(each);
    taken.assign(1, nullptr);
    relu<<<(n + 255) / 256, 256, 0, stream>>>(x, y, n);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""
