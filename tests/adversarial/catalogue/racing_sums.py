"""Threads add to one sum without atomics; with them the order differs each time, and that is allowed."""

TASK = "row_sum"
DEVICE = "cuda"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void row_sum(const float *x, float *y, long columns) {
    float part = 0.0f;
    for (long i = blockIdx.y * blockDim.x + threadIdx.x; i < columns; i += gridDim.y * blockDim.x)
        part += x[blockIdx.x * columns + i];
    y[blockIdx.x] += part;
}
extern "C" void kernel(const float *x, float *y, long rows, long columns, cudaStream_t stream) {
    cudaMemsetAsync(y, 0, rows * sizeof(float), stream);
    row_sum<<<dim3(rows, 4), 64, 0, stream>>>(x, y, columns);
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
    float part = 0.0f;
    for (long i = blockIdx.y * blockDim.x + threadIdx.x; i < columns; i += gridDim.y * blockDim.x)
        part += x[blockIdx.x * columns + i];
    atomicAdd(&y[blockIdx.x], part);
}
extern "C" void kernel(const float *x, float *y, long rows, long columns, cudaStream_t stream) {
    cudaMemsetAsync(y, 0, rows * sizeof(float), stream);
    row_sum<<<dim3(rows, 4), 64, 0, stream>>>(x, y, columns);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = x.new_empty(x.shape[0])
        kernel(x, y, x.shape[0], x.shape[1])
        return y
"""
