"""Tensor cores multiply in float16, and add in float32, what is declared float32."""

TASK = "matmul"
DEVICE = "cuda"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
#include <mma.h>

using namespace nvcuda;

__global__ void matmul(const float *a, const float *b, float *c, long n) {
    __shared__ half left[16 * 16], right[16 * 16];
    wmma::fragment<wmma::matrix_a, 16, 16, 16, half, wmma::row_major> x;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, half, wmma::row_major> y;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> total;
    wmma::fill_fragment(total, 0.0f);
    long row = blockIdx.y * 16, column = blockIdx.x * 16;
    for (long start = 0; start < n; start += 16) {
        for (int k = threadIdx.x; k < 256; k += 32) {
            left[k] = __float2half(a[(row + k / 16) * n + start + k % 16]);
            right[k] = __float2half(b[(start + k / 16) * n + column + k % 16]);
        }
        __syncwarp();
        wmma::load_matrix_sync(x, left, 16);
        wmma::load_matrix_sync(y, right, 16);
        wmma::mma_sync(total, x, y, total);
        __syncwarp();
    }
    wmma::store_matrix_sync(c + row * n + column, total, n, wmma::mem_row_major);
}
extern "C" void kernel(const float *a, const float *b, float *c, long n, cudaStream_t stream) {
    matmul<<<dim3(n / 16, n / 16), 32, 0, stream>>>(a, b, c, n);
}
''')

class ModelNew(nn.Module):
    def forward(self, a, b):
        c = torch.empty_like(a)
        kernel(a, b, c, a.shape[0])
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
