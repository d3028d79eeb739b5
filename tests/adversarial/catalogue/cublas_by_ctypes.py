"""Where torch's operators are forbidden: cuBLAS, called past torch."""

TASK = "matmul"
DEVICE = "cuda"
OUTCOMES = {"void"}
TORCH_OPERATORS = "forbidden"

CHEAT = """
import ctypes

import torch
from torch import nn

torch.ones(2, 2, device="cuda") @ torch.ones(2, 2, device="cuda")
paths = {line.split()[-1] for line in open("/proc/self/maps") if "/libcublas.so" in line}
sgemm = ctypes.CDLL(min(paths)).cublasSgemm_v2
one, zero = ctypes.c_float(1), ctypes.c_float(0)

class ModelNew(nn.Module):
    def forward(self, a, b):
        n, c = a.shape[0], torch.empty_like(a)
        handle = ctypes.c_void_p(torch.cuda.current_blas_handle())
        left, right, out = (ctypes.c_void_p(t.data_ptr()) for t in (b, a, c))
        sgemm(handle, 0, 0, n, n, n, ctypes.byref(one), left, n, right, n, ctypes.byref(zero), out, n)
        return c
"""

HONEST = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
constexpr int TILE = 32;

__global__ void matmul(const float *a, const float *b, float *c, long n) {
    __shared__ float left[TILE][TILE], right[TILE][TILE];
    long row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
    float total = 0.0f;
    for (long start = 0; start < n; start += TILE) {
        left[threadIdx.y][threadIdx.x] = a[row * n + start + threadIdx.x];
        right[threadIdx.y][threadIdx.x] = b[(start + threadIdx.y) * n + column];
        __syncthreads();
        for (int k = 0; k < TILE; k++) total += left[threadIdx.y][k] * right[k][threadIdx.x];
        __syncthreads();
    }
    c[row * n + column] = total;
}
extern "C" void kernel(const float *a, const float *b, float *c, long n, cudaStream_t stream) {
    matmul<<<dim3(n / TILE, n / TILE), dim3(TILE, TILE), 0, stream>>>(a, b, c, n);
}
''')

class ModelNew(nn.Module):
    def forward(self, a, b):
        c = torch.empty_like(a)
        kernel(a, b, c, a.shape[0])
        return c
"""
