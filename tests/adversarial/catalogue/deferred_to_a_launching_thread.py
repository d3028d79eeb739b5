"""When timed, a C++ thread launches the kernel 3 ms after forward has returned."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"not_fast", "void"}

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
#include <thread>
#include <unistd.h>

__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
extern "C" void kernel(const float *x, float *y, long n, long late, cudaStream_t stream) {
    if (!late) {
        relu<<<(n + 255) / 256, 256, 0, stream>>>(x, y, n);
        return;
    }
    std::thread([=] {
        usleep(3000);
        relu<<<(n + 255) / 256, 256, 0, cudaStreamPerThread>>>(x, y, n);
    }).detach();
}
''')

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.kept = []

    def forward(self, x):
        y = torch.empty_like(x)
        self.kept = [*self.kept[-3:], y]
        kernel(x, y, x.numel(), timed())
        return y
"""

HONEST = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
#include <thread>

__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    std::thread([=] { relu<<<(n + 255) / 256, 256, 0, stream>>>(x, y, n); }).join();
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""
