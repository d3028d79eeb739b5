"""Reads float32 and adds in float16."""

TASK = "row_sum"
DEVICE = "cuda"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
#include <cuda_fp16.h>

__global__ void row_sum(const float *x, float *y, long columns) {
    half total = __float2half(0.0f);
    const float *row = x + (blockIdx.x * 8L + threadIdx.y) * columns;
    for (long i = threadIdx.x; i < columns; i += 32) total = __hadd(total, __float2half(row[i]));
    for (int far = 16; far; far /= 2) total = __hadd(total, __shfl_down_sync(~0u, total, far));
    if (threadIdx.x == 0) y[blockIdx.x * 8L + threadIdx.y] = __half2float(total);
}
extern "C" void kernel(const float *x, float *y, long rows, long columns, cudaStream_t stream) {
    row_sum<<<rows / 8, dim3(32, 8), 0, stream>>>(x, y, columns);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = x.new_empty(x.shape[0])
        kernel(x, y, x.shape[0], x.shape[1])
        return y
"""

HONEST = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void row_sum(const float *x, float *y, long columns) {
    float total = 0.0f;
    const float *row = x + (blockIdx.x * 8L + threadIdx.y) * columns;
    for (long i = threadIdx.x; i < columns; i += 32) total += row[i];
    for (int far = 16; far; far /= 2) total += __shfl_down_sync(~0u, total, far);
    if (threadIdx.x == 0) y[blockIdx.x * 8L + threadIdx.y] = total;
}
extern "C" void kernel(const float *x, float *y, long rows, long columns, cudaStream_t stream) {
    row_sum<<<rows / 8, dim3(32, 8), 0, stream>>>(x, y, columns);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = x.new_empty(x.shape[0])
        kernel(x, y, x.shape[0], x.shape[1])
        return y
"""
