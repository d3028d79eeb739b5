"""Candidates that compile: kernels as text, each with constants that make many different ones of it.

They follow KernelBench's convention: a CUDA source, a C++ declaration, ``load_inline``.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

MODULE = '''import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cuda_source = """
#include <torch/extension.h>
#include <cuda_runtime.h>

{source}"""
cpp_source = "{declaration}"

{name} = load_inline(
    name="{name}", cpp_sources=cpp_source, cuda_sources=cuda_source, functions=["{name}"], verbose=False
)


class ModelNew(nn.Module):
    def __init__(self{init}):
        super().__init__()

    def forward(self, {arguments}):
        return {name}.{name}({arguments})
'''
MODULE_CPU = '''import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cpp_source = """
{source}"""

{name} = load_inline(name="{name}", cpp_sources=cpp_source, functions=["{name}"], verbose=False)


class ModelNew(nn.Module):
    def forward(self, {arguments}):
        return {name}.{name}({arguments})
'''

SCALE_ROWS = """__global__ void scale_rows_kernel(const float *a, const float *b, float *c, long n, long m) {
    long begin = (blockIdx.x * (long)BLOCK + threadIdx.x) * EACH;
    #pragma unroll
    for (long i = begin; i < begin + EACH; i++) {
        if (i < n * m) {
            c[i] = a[i / m] * b[i];
        }
    }
}

torch::Tensor scale_rows(torch::Tensor a, torch::Tensor b) {
    auto c = torch::empty_like(b);
    long n = b.size(0), m = b.size(1);
    long blocks = (n * m + BLOCK * EACH - 1) / (BLOCK * EACH);
    scale_rows_kernel<<<blocks, BLOCK>>>(a.data_ptr<float>(), b.data_ptr<float>(), c.data_ptr<float>(), n, m);
    return c;
}
"""
SUM_ROWS = """__global__ void sum_rows_kernel(const float *x, float *y, long rows, long columns) {
    long column = blockIdx.x * (long)BLOCK + threadIdx.x;
    if (column >= columns) {
        return;
    }
    const float *start = x + blockIdx.y * rows * columns + column;
    double sums[EACH] = {};
    for (long row = 0; row < rows; row += EACH) {
        #pragma unroll
        for (int i = 0; i < EACH; i++) {
            sums[i] += row + i < rows ? start[(row + i) * columns] : 0.0f;
        }
    }
    double sum = 0.0;
    for (int i = 0; i < EACH; i++) {
        sum += sums[i];
    }
    y[blockIdx.y * columns + column] = sum;
}

torch::Tensor sum_rows(torch::Tensor x) {
    auto y = torch::empty({x.size(0), 1, x.size(2)}, x.options());
    dim3 blocks((x.size(2) + BLOCK - 1) / BLOCK, x.size(0));
    sum_rows_kernel<<<blocks, BLOCK>>>(x.data_ptr<float>(), y.data_ptr<float>(), x.size(1), x.size(2));
    return y;
}
"""
SQUARE_MATMUL = """__global__ void square_matmul_kernel(const float *a, const float *b, float *c, int n) {
    __shared__ float a_tile[ROWS * TILE][TILE];
    __shared__ float b_tile[TILE][TILE];
    int column = blockIdx.x * TILE + threadIdx.x;
    int row = blockIdx.y * TILE * ROWS + threadIdx.y;
    float sums[ROWS] = {};
    for (int k = 0; k < n; k += TILE) {
        for (int i = 0; i < ROWS; i++) {
            bool inside = row + i * TILE < n && k + threadIdx.x < n;
            a_tile[threadIdx.y + i * TILE][threadIdx.x] = inside ? a[(row + i * TILE) * n + k + threadIdx.x] : 0.0f;
        }
        b_tile[threadIdx.y][threadIdx.x] = k + threadIdx.y < n && column < n ? b[(k + threadIdx.y) * n + column] : 0.0f;
        __syncthreads();
        #pragma unroll EACH
        for (int j = 0; j < TILE; j++) {
            for (int i = 0; i < ROWS; i++) {
                sums[i] += a_tile[threadIdx.y + i * TILE][j] * b_tile[j][threadIdx.x];
            }
        }
        __syncthreads();
    }
    for (int i = 0; i < ROWS; i++) {
        if (row + i * TILE < n && column < n) {
            c[(row + i * TILE) * n + column] = sums[i];
        }
    }
}

torch::Tensor square_matmul(torch::Tensor a, torch::Tensor b) {
    int n = a.size(0);
    auto c = torch::empty_like(a);
    dim3 blocks((n + TILE - 1) / TILE, (n + TILE * ROWS - 1) / (TILE * ROWS));
    dim3 threads(TILE, TILE);
    square_matmul_kernel<<<blocks, threads>>>(a.data_ptr<float>(), b.data_ptr<float>(), c.data_ptr<float>(), n);
    return c;
}
"""
SCALE_ROWS_CPU = """torch::Tensor scale_rows(torch::Tensor a, torch::Tensor b) {
    auto c = torch::empty_like(b);
    long n = b.size(0), m = b.size(1);
    const float *from = b.data_ptr<float>();
    float *to = c.data_ptr<float>();
    for (long i = 0; i < n; i++) {
        float factor = a.data_ptr<float>()[i];
        for (long begin = 0; begin < m; begin += BLOCK) {
            for (long j = begin; j < begin + BLOCK && j < m; j += EACH) {
                for (long k = j; k < j + EACH && k < m; k++) {
                    to[i * m + k] = factor * from[i * m + k];
                }
            }
        }
    }
    return c;
}
"""
THREADS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
UNROLLED = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """A kernel for one task; each combination of ``constants`` makes a candidate of its own."""

    task: str
    name: str
    source: str
    constants: dict[str, tuple[int, ...]]
    arguments: tuple[str, ...]
    init: str = ""
    module: str = MODULE

    def candidates(self) -> list[str]:
        """Module texts, in a fixed random order."""
        tensors = ", ".join(f"torch::Tensor {each}" for each in self.arguments)
        texts = []
        for values in itertools.product(*self.constants.values()):
            lines = [f"constexpr int {name} = {value};\n" for name, value in zip(self.constants, values, strict=True)]
            texts.append(
                self.module.format(
                    source="".join(lines) + "\n" + self.source,
                    declaration=f"torch::Tensor {self.name}({tensors});",
                    name=self.name,
                    arguments=", ".join(self.arguments),
                    init=self.init and f", {self.init}",
                )
            )
        random.Random(0).shuffle(texts)
        return texts


KINDS = {
    "cuda": (
        Kind(
            task="level1/12",
            name="scale_rows",
            source=SCALE_ROWS,
            constants={"BLOCK": THREADS, "EACH": UNROLLED},
            arguments=("a", "b"),
        ),
        Kind(
            task="level1/47",
            name="sum_rows",
            source=SUM_ROWS,
            constants={"BLOCK": THREADS, "EACH": UNROLLED},
            arguments=("x",),
            init="dim",
        ),
        Kind(
            task="level1/1",
            name="square_matmul",
            source=SQUARE_MATMUL,
            constants={"TILE": (8, 16, 32), "ROWS": (1, 2, 4), "EACH": UNROLLED},
            arguments=("a", "b"),
        ),
    ),
    "cpu": (
        Kind(
            task="level1/12",
            name="scale_rows",
            source=SCALE_ROWS_CPU,
            constants={"BLOCK": THREADS, "EACH": UNROLLED},
            arguments=("a", "b"),
            module=MODULE_CPU,
        ),
    ),
}
