"""A sum in shared memory that nobody sets to zero: right where luck left a zero."""

TASK = "row_sum"
DEVICE = "cuda"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void row_sum(const float *x, float *y, long columns) {
    __shared__ float total;
    float part = 0.0f;
    for (long i = threadIdx.x; i < columns; i += blockDim.x) part += x[blockIdx.x * columns + i];
    atomicAdd(&total, part);
    __syncthreads();
    if (threadIdx.x == 0) y[blockIdx.x] = total;
}
extern "C" void kernel(const float *x, float *y, long rows, long columns, cudaStream_t stream) {
    row_sum<<<rows, 256, 0, stream>>>(x, y, columns);
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
    __shared__ float total;
    if (threadIdx.x == 0) total = 0.0f;
    __syncthreads();
    float part = 0.0f;
    for (long i = threadIdx.x; i < columns; i += blockDim.x) part += x[blockIdx.x * columns + i];
    atomicAdd(&total, part);
    __syncthreads();
    if (threadIdx.x == 0) y[blockIdx.x] = total;
}
extern "C" void kernel(const float *x, float *y, long rows, long columns, cudaStream_t stream) {
    row_sum<<<rows, 256, 0, stream>>>(x, y, columns);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = x.new_empty(x.shape[0])
        kernel(x, y, x.shape[0], x.shape[1])
        return y
"""
