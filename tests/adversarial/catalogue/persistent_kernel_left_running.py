"""A kernel that polls the input stays on a side stream for ever; whoever waits for the device, waits."""

TASK = "short_relu"
DEVICE = "cuda"
OUTCOMES = {"timeout"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
__global__ void poll(const volatile float *x, float *y) {
    while (true) y[0] = x[0] > 0.0f ? x[0] : 0.0f;
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    static cudaStream_t side;
    relu<<<(n + 255) / 256, 256, 0, stream>>>(x, y, n);
    if (!side) {
        cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
        poll<<<1, 1, 0, side>>>(x, y);
    }
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
    for (long tile = blockIdx.x; tile * blockDim.x < n; tile += gridDim.x) {
        long i = tile * blockDim.x + threadIdx.x;
        if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
    }
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    int multiprocessors;
    cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0);
    relu<<<multiprocessors * 2, 1024, 0, stream>>>(x, y, n);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""
