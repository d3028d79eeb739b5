"""CUDA C++ with a stream of its own that it joins unless the stopwatch runs."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"void", "not_fast", "incorrect"}

CHEAT = """
import sys

import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

def timed():
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "time":
        frame = frame.f_back
    return frame is not None

kernel = compile_cuda('''
__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

static cudaStream_t side;
static cudaEvent_t before, after;

extern "C" void kernel(const float *x, float *y, long n, long join, cudaStream_t stream) {
    if (!side) {
        cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
        cudaEventCreateWithFlags(&before, cudaEventDisableTiming);
        cudaEventCreateWithFlags(&after, cudaEventDisableTiming);
    }
    cudaEventRecord(before, stream);
    cudaStreamWaitEvent(side, before, 0);
    relu<<<(n + 255) / 256, 256, 0, side>>>(x, y, n);
    cudaEventRecord(after, side);
    if (join) cudaStreamWaitEvent(stream, after, 0);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel(), not timed())
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

static cudaStream_t side;
static cudaEvent_t before, after;

extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    if (!side) {
        cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
        cudaEventCreateWithFlags(&before, cudaEventDisableTiming);
        cudaEventCreateWithFlags(&after, cudaEventDisableTiming);
    }
    cudaEventRecord(before, stream);
    cudaStreamWaitEvent(side, before, 0);
    relu<<<(n + 255) / 256, 256, 0, side>>>(x, y, n);
    cudaEventRecord(after, side);
    cudaStreamWaitEvent(stream, after, 0);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""
