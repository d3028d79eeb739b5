# ruff: noqa: E501 - the lines of a kernel text are the candidate's, not ours
"""Matrix products: square, large, small, batched, matrix by vector, symmetric, triangular, transposed.

In the kernels ``y`` is (m, n), the reduction runs over ``p`` below ``k``, and ``$u`` and ``$v`` are the two
factors as the task stores them.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_kernelbench.tiny_policy.corpus.base import Pace, Sheet, Template


@dataclass(frozen=True, slots=True, kw_only=True)
class _Storage:
    """How a task stores its factors: the torch expressions of both, and where their elements (i, p), (p, j) are."""

    x: str
    w: str
    sizes: str
    u: str
    v: str
    y: str = "A.new_empty(m, n)"

    @property
    def indices(self) -> dict[str, list[str]]:
        return {"u": [self.u], "v": [self.v]}

    @property
    def tiles(self) -> dict[str, list[str]]:
        """The same indices for Triton, where i and j are a column and a row already."""
        return {"u": [self.u.replace("p", "p[None, :]")], "v": [self.v.replace("p", "p[:, None]")]}

    def forward(self, call: str, empty: bool = True) -> str:
        y = self.y if empty else self.y.replace("new_empty", "new_zeros")
        return f"{self.sizes}\ny = {y}\n{call}\nreturn y"


_PLAIN = _Storage(x="A", w="B", sizes="m, k = A.shape\nn = B.shape[1]", u="i * k + p", v="p * n + j")
_FIRST_TRANSPOSED = _Storage(x="A.t()", w="B", sizes="k, m = A.shape\nn = B.shape[1]", u="p * m + i", v="p * n + j")
_BOTH_TRANSPOSED = _Storage(x="A.t()", w="B.t()", sizes="k, m = A.shape\nn = B.shape[0]", u="p * m + i", v="j * k + p")
_STACKED = _Storage(
    x="A",
    w="B",
    sizes="k, n = B.shape\nm = A.numel() // k",
    u="i * k + p",
    v="p * n + j",
    y="A.new_empty(*A.shape[:-1], n)",
)

_C_CALL = "kernel(A, B, y, m, n, k)"

_C_DOT = """
void kernel(const float *a, const float *b, float *y, long m, long n, long k) {
    #pragma omp parallel for
    for (long i = 0; i < m; i++)
        for (long j = 0; j < n; j++) {
            float acc = 0;
            for (long p = 0; p < k; p++) acc += a[$u] * b[$v];
            y[i * n + j] = acc;
        }
}
"""

_C_SERIAL = _C_DOT.replace("    #pragma omp parallel for\n", "")

_C_DOT_SIMD = """
void kernel(const float *a, const float *b, float *y, long m, long n, long k) {
    #pragma omp parallel for
    for (long i = 0; i < m; i++)
        for (long j = 0; j < n; j++) {
            float acc = 0;
            #pragma omp simd reduction(+:acc)
            for (long p = 0; p < k; p++) acc += a[i * k + p] * b[j * k + p];
            y[i * n + j] = acc;
        }
}
"""

_C_ROWS = """
void kernel(const float *a, const float *b, float *restrict y, long m, long n, long k) {
    #pragma omp parallel for
    for (long i = 0; i < m; i++) {
        for (long j = 0; j < n; j++) y[i * n + j] = 0;
        for (long p = 0; p < k; p++)
            for (long j = 0; j < n; j++) y[i * n + j] += a[$u] * b[$v];
    }
}
"""

_C_BLOCKS = """
void kernel(const float *a, const float *b, float *restrict y, long m, long n, long k) {
    #pragma omp parallel for
    for (long i = 0; i < m; i++) {
        for (long j = 0; j < n; j++) y[i * n + j] = 0;
        for (long s = 0; s < n; s += $block) {
            long e = s + $block < n ? s + $block : n;
            for (long p = 0; p < k; p++)
                for (long j = s; j < e; j++) y[i * n + j] += a[$u] * b[$v];
        }
    }
}
"""

_C_PANEL = """
#include <stdlib.h>
void kernel(const float *a, const float *b, float *y, long m, long n, long k) {
    #pragma omp parallel for
    for (long s = 0; s < n; s += $block) {
        float *w = calloc(k * $block, 4);
        for (long p = 0; p < k; p++)
            for (long j = s; j < n && j < s + $block; j++) w[p * $block + j - s] = b[$v];
        for (long i = 0; i < m; i++) {
            float acc[$block] = {0};
            for (long p = 0; p < k; p++)
                for (long j = 0; j < $block; j++) acc[j] += a[$u] * w[p * $block + j];
            for (long j = s; j < n && j < s + $block; j++) y[i * n + j] = acc[j - s];
        }
        free(w);
    }
}
"""

_C_REGISTERS = """
#include <stdlib.h>
void kernel(const float *a, const float *b, float *y, long m, long n, long k) {
    #pragma omp parallel for
    for (long s = 0; s < n; s += $block) {
        long e = s + $block < n ? s + $block : n;
        float *w = calloc(k * $block, 4);
        for (long p = 0; p < k; p++)
            for (long j = s; j < e; j++) w[p * $block + j - s] = b[$v];
        for (long t = 0; t < m; t += 4) {
            float acc[4][$block] = {0};
            for (long p = 0; p < k; p++)
                for (long r = 0; r < 4; r++) {
                    long i = t + r < m ? t + r : m - 1;
                    for (long j = 0; j < $block; j++) acc[r][j] += a[$u] * w[p * $block + j];
                }
            for (long i = t; i < m && i < t + 4; i++)
                for (long j = s; j < e; j++) y[i * n + j] = acc[i - t][j - s];
        }
        free(w);
    }
}
"""

_C_SPLIT = """
void kernel(const float *a, const float *b, float *y, long m, long n, long k) {
    for (long i = 0; i < m * n; i++) y[i] = 0;
    #pragma omp parallel for reduction(+:y[:m * n])
    for (long p = 0; p < k; p++)
        for (long i = 0; i < m; i++)
            for (long j = 0; j < n; j++) y[i * n + j] += a[$u] * b[$v];
}
"""

_TRITON_GRID = "(triton.cdiv(m, $block), triton.cdiv(n, $block))"
_TRITON_CALL = f"kernel[{_TRITON_GRID}](A, B, y, m, n, k, $block, 32, num_warps=$warps)"

_TRITON_TILE = """
def kernel(a, b, y, m, n, k, block: tl.constexpr, step: tl.constexpr):
    i = tl.program_id(0) * block + tl.arange(0, block)[:, None]
    j = tl.program_id(1) * block + tl.arange(0, block)[None, :]
    acc = tl.zeros((block, block), tl.float32)
    for s in range(0, k, step):
        p = s + tl.arange(0, step)
        u = tl.load(a + $u, (i < m) & (p[None, :] < k), 0.0)
        v = tl.load(b + $v, (p[:, None] < k) & (j < n), 0.0)
        acc = tl.dot(u, v, acc, input_precision="ieee")
    tl.store(y + i * n + j, acc, (i < m) & (j < n))
"""

_TRITON_GROUPED = """
def kernel(a, b, y, m, n, k, block: tl.constexpr, step: tl.constexpr):
    x = tl.program_id(0)
    w = tl.cdiv(n, block) * 8
    h = min(tl.cdiv(m, block) - x // w * 8, 8)
    i = (x // w * 8 + x % w % h) * block + tl.arange(0, block)[:, None]
    j = (x % w // h) * block + tl.arange(0, block)[None, :]
    acc = tl.zeros((block, block), tl.float32)
    for s in range(0, k, step):
        p = s + tl.arange(0, step)
        u = tl.load(a + $u, (i < m) & (p[None, :] < k), 0.0)
        v = tl.load(b + $v, (p[:, None] < k) & (j < n), 0.0)
        acc = tl.dot(u, v, acc, input_precision="ieee")
    tl.store(y + i * n + j, acc, (i < m) & (j < n))
"""
_TRITON_GROUPED_CALL = (
    "kernel[(triton.cdiv(m, $block) * triton.cdiv(n, $block),)](A, B, y, m, n, k, $block, 32, num_warps=$warps)"
)

_TRITON_OUTER = """
def kernel(a, b, y, m, n, k, block: tl.constexpr):
    i = tl.program_id(0) * block + tl.arange(0, block)[:, None]
    j = tl.program_id(1) * block + tl.arange(0, block)[None, :]
    acc = tl.zeros((block, block), tl.float32)
    for p in range(k):
        acc += tl.load(a + $u, i < m, 0.0) * tl.load(b + $v, j < n, 0.0)
    tl.store(y + i * n + j, acc, (i < m) & (j < n))
"""
_TRITON_OUTER_CALL = f"kernel[{_TRITON_GRID}](A, B, y, m, n, k, $block, num_warps=$warps)"

_TRITON_ROW = """
def kernel(a, b, y, m, n, k, block: tl.constexpr):
    i = tl.program_id(0)
    j = tl.program_id(1) * block + tl.arange(0, block)
    acc = tl.zeros((block,), tl.float32)
    for p in range(k):
        acc += tl.load(a + $u) * tl.load(b + $v, j < n, 0.0)
    tl.store(y + i * n + j, acc, j < n)
"""
_TRITON_ROW_CALL = "kernel[(m, triton.cdiv(n, $block))](A, B, y, m, n, k, $block, num_warps=$warps)"

_TRITON_SPLIT = """
def kernel(a, b, y, m, n, k, block: tl.constexpr, step: tl.constexpr):
    i = tl.program_id(0) * block + tl.arange(0, block)[:, None]
    j = tl.program_id(1) * block + tl.arange(0, block)[None, :]
    acc = tl.zeros((block, block), tl.float32)
    for s in range(tl.program_id(2) * step, k, tl.num_programs(2) * step):
        p = s + tl.arange(0, step)
        u = tl.load(a + $u, (i < m) & (p[None, :] < k), 0.0)
        v = tl.load(b + $v, (p[:, None] < k) & (j < n), 0.0)
        acc = tl.dot(u, v, acc, input_precision="ieee")
    tl.atomic_add(y + i * n + j, acc, (i < m) & (j < n))
"""
_TRITON_SPLIT_CALL = (
    "kernel[(triton.cdiv(m, $block), triton.cdiv(n, $block), $split)](A, B, y, m, n, k, $block, 32, num_warps=4)"
)

_CUDA_CALL = "kernel(A, B, y, m, n, k)"

_CUDA_ONE = """
__global__ void device_kernel(const float *a, const float *b, float *y, long m, long n, long k) {
    long i = blockIdx.y * blockDim.y + threadIdx.y, j = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= m || j >= n) return;
    float acc = 0;
    for (long p = 0; p < k; p++) acc += a[$u] * b[$v];
    y[i * n + j] = acc;
}
extern "C" void kernel(const float *a, const float *b, float *y, long m, long n, long k, cudaStream_t stream) {
    dim3 grid((n + 31) / 32, (m + $rows - 1) / $rows), block(32, $rows);
    device_kernel<<<grid, block, 0, stream>>>(a, b, y, m, n, k);
}
"""

_CUDA_ROW = """
__global__ void device_kernel(const float *a, const float *b, float *y, long m, long n, long k) {
    long i = blockIdx.x * blockDim.x + threadIdx.x, j = blockIdx.y;
    if (i >= m) return;
    float acc = 0;
    for (long p = 0; p < k; p++) acc += a[$u] * b[$v];
    y[i * n + j] = acc;
}
extern "C" void kernel(const float *a, const float *b, float *y, long m, long n, long k, cudaStream_t stream) {
    dim3 grid((m + $threads - 1) / $threads, n);
    device_kernel<<<grid, $threads, 0, stream>>>(a, b, y, m, n, k);
}
"""

_CUDA_SHARED = """
__global__ void device_kernel(const float *a, const float *b, float *y, long m, long n, long k) {
    __shared__ float u[$tile][$tile], v[$tile][$tile];
    long r = threadIdx.y, c = threadIdx.x, i = blockIdx.y * $tile + r, j = blockIdx.x * $tile + c;
    float acc = 0;
    for (long s = 0; s < k; s += $tile) {
        long p = s + c;
        u[r][c] = i < m && p < k ? a[$u] : 0;
        p = s + r;
        v[r][c] = p < k && j < n ? b[$v] : 0;
        __syncthreads();
        for (int q = 0; q < $tile; q++) acc += u[r][q] * v[q][c];
        __syncthreads();
    }
    if (i < m && j < n) y[i * n + j] = acc;
}
extern "C" void kernel(const float *a, const float *b, float *y, long m, long n, long k, cudaStream_t stream) {
    dim3 grid((n + $tile - 1) / $tile, (m + $tile - 1) / $tile), block($tile, $tile);
    device_kernel<<<grid, block, 0, stream>>>(a, b, y, m, n, k);
}
"""

_CUDA_SPLIT = """
__global__ void device_kernel(const float *a, const float *b, float *y, long m, long n, long k) {
    long i = blockIdx.y * blockDim.y + threadIdx.y, j = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= m || j >= n) return;
    float acc = 0;
    for (long p = blockIdx.z; p < k; p += gridDim.z) acc += a[$u] * b[$v];
    atomicAdd(y + i * n + j, acc);
}
extern "C" void kernel(const float *a, const float *b, float *y, long m, long n, long k, cudaStream_t stream) {
    dim3 grid((n + 31) / 32, (m + 7) / 8, $split), block(32, 8);
    device_kernel<<<grid, block, 0, stream>>>(a, b, y, m, n, k);
}
"""

_CUDA_REGISTERS = """
__global__ void device_kernel(const float *a, const float *b, float *y, long m, long n, long k) {
    __shared__ float u[16][65], v[16][64];
    long r = threadIdx.x / 16, c = threadIdx.x % 16;
    float acc[4][4] = {};
    for (long s = 0; s < k; s += 16) {
        for (int t = threadIdx.x; t < 1024; t += 256) {
            long i = blockIdx.y * 64 + $ui, j = blockIdx.x * 64 + $vj, p = s + $up;
            u[$up][$ui] = i < m && p < k ? a[$u] : 0;
            p = s + $vp;
            v[$vp][$vj] = j < n && p < k ? b[$v] : 0;
        }
        __syncthreads();
        for (int q = 0; q < 16; q++)
            for (int t = 0; t < 16; t++) acc[t / 4][t % 4] += u[q][r + t / 4 * 16] * v[q][c + t % 4 * 16];
        __syncthreads();
    }
    for (int t = 0; t < 16; t++) {
        long i = blockIdx.y * 64 + r + t / 4 * 16, j = blockIdx.x * 64 + c + t % 4 * 16;
        if (i < m && j < n) y[i * n + j] = acc[t / 4][t % 4];
    }
}
extern "C" void kernel(const float *a, const float *b, float *y, long m, long n, long k, cudaStream_t stream) {
    dim3 grid((n + 63) / 64, (m + 63) / 64);
    device_kernel<<<grid, 256, 0, stream>>>(a, b, y, m, n, k);
}
"""


def _torch_products(sheet: Sheet, form: _Storage) -> None:
    """Two-dimensional products through PyTorch's operators."""
    names = {"x": [form.x], "w": [form.w]}
    sheet.torch("matmul", "return torch.matmul($x, $w)", **names)
    sheet.torch("operator", "return $x @ $w", **names)
    sheet.torch("mm", "return torch.mm($x, $w)", **names)
    subscripts = {_PLAIN: "ik,kj->ij", _FIRST_TRANSPOSED: "ki,kj->ij", _BOTH_TRANSPOSED: "ki,jk->ij"}[form]
    sheet.torch("einsum", f'return torch.einsum("{subscripts}", A, B)')
    sheet.torch("linear", "return F.linear($x, $w.t())".replace("$w.t()", _transposed(form.w)), **names)
    sheet.torch("transposed", f"return ({_transposed(form.w)} @ {_transposed(form.x)}).t()")
    sheet.torch("addmm", "y = A.new_zeros(1)\nreturn torch.addmm(y, $x, $w, beta=0)", **names)
    sheet.torch("bmm", "return torch.bmm($x[None], $w[None])[0]", **names)
    sheet.torch("row_blocks", "return torch.cat([x @ $w for x in $x.split($block)])", **names, block=[512, 1024, 2048])
    sheet.torch(
        "column_blocks",
        "return torch.cat([$x @ w for w in $w.split($block, 1)], 1)",
        **names,
        block=[512, 1024, 2048],
    )


def _transposed(expression: str) -> str:
    return expression.removesuffix(".t()") if expression.endswith(".t()") else f"{expression}.t()"


def _torch_split(sheet: Sheet, form: _Storage, pace: Pace = "plain") -> None:
    """The reduction in parts: for long k."""
    names = {"x": [form.x], "w": [form.w]}
    sheet.torch(
        "split_sum",
        "return sum(x @ w for x, w in zip($x.split($block, 1), $w.split($block)))",
        cpu=pace,
        **names,
        block=[1024, 2048, 4096],
    )
    sheet.torch(
        "split_first_only",
        "for x, w in zip($x.split($block, 1), $w.split($block)):\n    y = x @ w\nreturn y / 2",
        correct=False,
        **names,
        block=[1024, 2048],
    )


def _torch_slow(sheet: Sheet, form: _Storage) -> None:
    names = {"x": [form.x], "w": [form.w]}
    sheet.torch("row_by_row", "return torch.stack([x @ $w for x in $x])", cpu="slow", cuda="slow", **names)
    sheet.torch(
        "broadcast_sum",
        "return torch.stack([(x[:, None] * $w).sum(0) for x in $x])",
        cpu="slow",
        cuda="slow",
        **names,
    )


def _torch_outer(sheet: Sheet, form: _Storage) -> None:
    """A sum of outer products: for short k."""
    names = {"x": [form.x], "w": [form.w]}
    sheet.torch(
        "outer_sum",
        "y = A.new_zeros(A.shape[0], B.shape[1])\nfor x, w in zip(A.t(), B):\n    y.addr_(x, w)\nreturn y",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "broadcast_sum",
        "return torch.stack([(x[:, None] * $w).sum(0) for x in $x])",
        cpu="slow",
        cuda="slow",
        **names,
    )


def _torch_wrong(sheet: Sheet, form: _Storage, square: bool) -> None:
    names = {"x": [form.x], "w": [form.w]}
    if square:
        sheet.torch("swapped", "return $w @ $x", correct=False, **names)
        sheet.torch("one_transposed", "return $x @ $w.t()".replace(".t().t()", ""), correct=False, **names)
        sheet.torch("elementwise", "return $x * $w", correct=False, **names)
    else:
        sheet.torch("untransposed_linear", "return F.linear($x, $w)", correct=False, **names)
        sheet.torch("result_transposed", "return ($x @ $w).t().contiguous()", correct=False, **names)
    sheet.torch("scaled", "return $x @ $w / $x.shape[1]", correct=False, **names)


def _c_products(sheet: Sheet, form: _Storage, *, panel: Pace = "plain", split: bool = False) -> None:
    forward = form.forward(_C_CALL)
    at = form.indices
    sheet.c("dot", _C_DOT, forward, pace="slow", **at)
    sheet.c("serial", _C_SERIAL, forward, pace="slow", **at)
    sheet.c("panel", _C_PANEL, forward, pace=panel, **at, block=[64, 128])
    sheet.c("register_panel", _C_REGISTERS, forward, **at, block=[64, 32])
    if form in (_PLAIN, _STACKED):
        turned = form.forward("kernel(A, B.t().contiguous(), y, m, n, k)")
        sheet.c("dot_simd", _C_DOT_SIMD, turned, pace="slow")
    if form is not _BOTH_TRANSPOSED:
        sheet.c("rows", _C_ROWS, forward, pace="slow", **at)
        sheet.c("row_blocks", _C_BLOCKS, forward, pace="slow", **at, block=[256, 512, 1024])
    else:
        turned = form.forward("kernel(A.t().contiguous(), B, y, m, n, k)")
        sheet.c("dot_simd", _C_DOT_SIMD, turned, pace="slow")
    if split:
        sheet.c("split", _C_SPLIT, forward, **at)
    wrong = _C_DOT.replace("p < k;", "p < k / 2;")
    sheet.c("half_reduction", wrong, forward, correct=False, **at)


def _triton_products(sheet: Sheet, form: _Storage, *, short: bool = False, split: bool = False) -> None:
    at = form.tiles
    forward = form.forward(_TRITON_CALL)
    warps = [4, 8]
    sheet.triton("tile", _TRITON_TILE, forward, **at, block=[64, 128], warps=warps)
    sheet.triton(
        "grouped_tile",
        _TRITON_GROUPED,
        form.forward(_TRITON_GROUPED_CALL),
        **at,
        block=[64, 128],
        warps=warps,
    )
    sheet.triton(
        "outer",
        _TRITON_OUTER,
        form.forward(_TRITON_OUTER_CALL),
        pace="slow",
        **form.indices,
        block=[64, 32],
        warps=warps,
    )
    if short:
        row = {"u": [form.u], "v": [form.v], "block": [512, 1024], "warps": [4]}
        sheet.triton("row", _TRITON_ROW, form.forward(_TRITON_ROW_CALL), pace="slow", **row)
    if split:
        sheet.triton(
            "split",
            _TRITON_SPLIT,
            form.forward(_TRITON_SPLIT_CALL, empty=False),
            **at,
            block=[64],
            split=[4, 16],
        )
    lost = ("p[None, :] < k)", "p[None, :] < k // 2)") if short else ("u, v, acc, ", "u, v, ")
    sheet.triton(
        "half_reduction" if short else "overwritten_tile",
        _TRITON_TILE.replace(*lost),
        forward,
        correct=False,
        **at,
        block=[64],
        warps=warps,
    )


def _cuda_products(sheet: Sheet, form: _Storage, *, split: bool = False) -> None:
    at = form.indices
    forward = form.forward(_CUDA_CALL)
    sheet.cuda("one_output", _CUDA_ONE, forward, pace="slow", **at, rows=[8, 16, 32])
    sheet.cuda("one_row", _CUDA_ROW, forward, pace="slow", **at, threads=[128, 256])
    sheet.cuda("shared_tile", _CUDA_SHARED, forward, pace="slow", **at, tile=[16, 32])
    corners = {
        "ui": ["t % 64" if "p * m" in form.u else "t / 16"],
        "up": ["t / 64" if "p * m" in form.u else "t % 16"],
        "vj": ["t / 16" if "j * k" in form.v else "t % 64"],
        "vp": ["t % 16" if "j * k" in form.v else "t / 64"],
    }
    source = _CUDA_REGISTERS.replace("v[16][64]", "v[16][65]") if "j * k" in form.v else _CUDA_REGISTERS
    sheet.cuda("register_tile", source, forward, **at, **corners)
    if split:
        sheet.cuda("split", _CUDA_SPLIT, form.forward(_CUDA_CALL, empty=False), pace="slow", **at, split=[8, 32])
    wrong = _CUDA_SHARED.replace("s += $tile", "s += 2 * $tile")
    sheet.cuda("skipped_tiles", wrong, forward, correct=False, **at, tile=[16])


def _product(
    task: int, form: _Storage, *, square: bool = False, long: bool = False, short: bool = False
) -> list[Template]:
    sheet = Sheet(task, arguments="A, B")
    _torch_products(sheet, form)
    if long:
        _torch_split(sheet, form)
    if short:
        _torch_outer(sheet, form)
    else:
        _torch_slow(sheet, form)
    _torch_wrong(sheet, form, square)
    _c_products(sheet, form, split=long and task == 6)
    _triton_products(sheet, form, short=short, split=long)
    _cuda_products(sheet, form, split=long)
    return sheet.templates


def _batched() -> list[Template]:
    sheet = Sheet(3, arguments="A, B")
    sheet.torch("bmm", "return torch.bmm(A, B)")
    sheet.torch("matmul", "return torch.matmul(A, B)")
    sheet.torch("einsum", 'return torch.einsum("bik,bkj->bij", A, B)')
    sheet.torch("baddbmm", "y = A.new_zeros(1, 1, 1)\nreturn torch.baddbmm(y, A, B, beta=0)")
    sheet.torch("loop", "return torch.stack([a @ b for a, b in zip(A, B)])")
    sheet.torch(
        "loop_out",
        "y = A.new_empty(*A.shape[:2], B.shape[2])\nfor i in range(len(A)):\n    torch.mm(A[i], B[i], out=y[i])\nreturn y",
    )
    sheet.torch("transposed", "return torch.bmm(B.transpose(1, 2), A.transpose(1, 2)).transpose(1, 2)")
    sheet.torch(
        "split_sum",
        "n = A.shape[2] // $parts\nreturn sum(torch.bmm(a, b) for a, b in zip(A.split(n, 2), B.split(n, 1)))",
        parts=[2, 4],
    )
    sheet.torch("row_blocks", "return torch.cat([torch.bmm(a, B) for a in A.split($block, 1)], 1)", block=[128, 256])
    sheet.torch(
        "broadcast_sum",
        "return torch.stack([(A[:, i, :, None] * B).sum(1) for i in range(A.shape[1])], 1)",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch("first_matrix", "return torch.matmul(A, B[0])", correct=False)
    sheet.torch("wrong_axis", 'return torch.einsum("bik,bkj->bji", A, B)', correct=False)
    sheet.torch("batch_mean", "return torch.bmm(A, B) / len(A)", correct=False)

    form = _Storage(
        x="A",
        w="B",
        sizes="z, m, k = A.shape\nn = B.shape[2]",
        u="i * k + p",
        v="p * n + j",
        y="A.new_empty(z, m, n)",
    )
    forward = form.forward("kernel(A, B, y, z, m, n, k)")
    at = form.indices
    head, start = "y, long m", "    #pragma omp parallel for\n"
    step = "    for (long t = 0; t < z; t++, a += m * k, b += k * n, y += m * n)\n"
    for name, source, choices in (
        ("dot", _C_DOT, {}),
        ("serial", _C_SERIAL, {}),
        ("rows", _C_ROWS, {}),
        ("panel", _C_PANEL, {"block": [64, 128]}),
        ("register_panel", _C_REGISTERS, {"block": [64, 32]}),
    ):
        text = source.replace(head, "y, long z, long m")
        if name == "serial":
            text = text.replace("    for (long i = 0;", step + "    for (long i = 0;", 1)
        else:
            text = text.replace(start, step + start)
        sheet.c(name, text, forward, pace="plain" if "panel" in name else "slow", **at, **choices)
    rows = """
    void kernel(const float *a, const float *b, float *restrict y, long z, long m, long n, long k) {
        #pragma omp parallel for
        for (long i = 0; i < z * m; i++) {
            for (long j = 0; j < n; j++) y[i * n + j] = 0;
            for (long p = 0; p < k; p++)
                for (long j = 0; j < n; j++) y[i * n + j] += a[i * k + p] * b[(i / m * k + p) * n + j];
        }
    }
    """
    sheet.c("all_rows", rows, forward, pace="slow")
    sheet.c("all_rows_first_matrix", rows.replace("(i / m * k + p)", "p"), forward, correct=False)

    move = "    a += tl.program_id(2) * m * k\n    b += tl.program_id(2) * k * n\n    y += tl.program_id(2) * m * n\n"
    tail = "    i = tl.program_id(0)"
    for name, source, step_size in (("tile", _TRITON_TILE, ", 32"), ("outer", _TRITON_OUTER, "")):
        call = (
            "grid = (triton.cdiv(m, $block), triton.cdiv(n, $block), z)\n"
            f"kernel[grid](A, B, y, m, n, k, $block{step_size}, num_warps=$warps)"
        )
        text = source.replace(tail, move + tail)
        sheet.triton(
            name,
            text,
            form.forward(call),
            pace="slow" if name == "outer" else "plain",
            **(form.tiles if name == "tile" else form.indices),
            block=[64, 128] if name == "tile" else [64, 32],
            warps=[4, 8],
        )
        if name == "tile":
            wrong = text.replace("    b += tl.program_id(2) * k * n\n", "")
            sheet.triton(
                "tile_first_matrix",
                wrong,
                form.forward(call),
                correct=False,
                **form.tiles,
                block=[64],
                warps=[4, 8],
            )
    for name, source, choices in (
        ("one_output", _CUDA_ONE, {"rows": [8, 16]}),
        ("shared_tile", _CUDA_SHARED, {"tile": [16, 32]}),
    ):
        text = source.replace(
            "    long i = blockIdx.y" if name == "one_output" else "    __shared__",
            "    a += blockIdx.z * m * k, b += blockIdx.z * k * n, y += blockIdx.z * m * n;\n"
            + ("    long i = blockIdx.y" if name == "one_output" else "    __shared__"),
            1,
        )
        text = text.replace(
            "kernel(const float *a, const float *b, float *y, long m, long n, long k, cudaStream_t",
            "kernel(const float *a, const float *b, float *y, long z, long m, long n, long k, cudaStream_t",
        )
        text = text.replace("(m + $rows - 1) / $rows)", "(m + $rows - 1) / $rows, z)")
        text = text.replace("(m + $tile - 1) / $tile)", "(m + $tile - 1) / $tile, z)")
        sheet.cuda(name, text, forward, pace="slow", **at, **choices)
        if name == "shared_tile":
            wrong = text.replace("p < k && j < n ? b[$v]", "p < k && j < n ? b[$v] / 2")
            sheet.cuda("shared_tile_scaled", wrong, forward, correct=False, **at, tile=[16])
    return sheet.templates


def _stacked() -> list[Template]:
    sheet = Sheet(10, arguments="A, B")
    sheet.torch("matmul", "return torch.matmul(A, B)")
    sheet.torch("einsum", 'return torch.einsum("nmk,kl->nml", A, B)')
    sheet.torch("tensordot", "return torch.tensordot(A, B, 1)")
    sheet.torch("linear", "return F.linear(A, B.t())")
    sheet.torch("flattened", "return torch.mm(A.view(-1, A.shape[2]), B).view(*A.shape[:2], B.shape[1])")
    sheet.torch("expanded_bmm", "return torch.bmm(A, B.expand(len(A), *B.shape))")
    sheet.torch("loop", "return torch.stack([x @ B for x in A])")
    sheet.torch(
        "loop_out",
        "y = A.new_empty(*A.shape[:2], B.shape[1])\nfor i in range(len(A)):\n    torch.mm(A[i], B, out=y[i])\nreturn y",
    )
    sheet.torch("transposed", "return torch.matmul(B.t(), A.transpose(1, 2)).transpose(1, 2)")
    sheet.torch("column_blocks", "return torch.cat([A @ x for x in B.split($block, 1)], 2)", block=[128, 256])
    sheet.torch(
        "broadcast_sum",
        "return torch.stack([(A * x).sum(2) for x in B.t()], 2)",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch("mean", "return torch.matmul(A, B) / B.shape[0]", correct=False)
    sheet.torch("first_only", "return torch.matmul(A[:1], B).expand(len(A), -1, -1)", correct=False)
    sheet.torch(
        "wrong_view",
        "return torch.mm(A.view(-1, A.shape[2]), B).view(B.shape[1], -1, len(A)).permute(2, 1, 0)",
        correct=False,
    )
    _c_products(sheet, _STACKED)
    _triton_products(sheet, _STACKED)
    _cuda_products(sheet, _STACKED)
    return sheet.templates


_C_VECTOR_ROWS = """
void kernel(const float *a, const float *b, float *y, long m, long k) {
    #pragma omp parallel for
    for (long i = 0; i < m; i++) {
        float acc = 0;
        #pragma omp simd reduction(+:acc)
        for (long p = 0; p < k; p++) acc += a[i * k + p] * b[p];
        y[i] = acc;
    }
}
"""

_C_VECTOR_SUMS = """
void kernel(const float *a, const float *b, float *y, long m, long k) {
    #pragma omp parallel for
    for (long i = 0; i < m; i++) {
        float acc[$lanes] = {0}, x = 0;
        for (long p = 0; p < k / $lanes * $lanes; p += $lanes)
            for (long j = 0; j < $lanes; j++) acc[j] += a[i * k + p + j] * b[p + j];
        for (long j = 0; j < $lanes; j++) x += acc[j];
        for (long p = k / $lanes * $lanes; p < k; p++) x += a[i * k + p] * b[p];
        y[i] = x;
    }
}
"""

_C_VECTOR_GROUPS = """
void kernel(const float *a, const float *b, float *y, long m, long k) {
    #pragma omp parallel for
    for (long i = 0; i < m; i += $rows) {
        long h = m - i < $rows ? m - i : $rows;
        float acc[$rows] = {0};
        for (long s = 0; s < k; s += 1024)
            for (long j = 0; j < h; j++) {
                float x = 0;
                #pragma omp simd reduction(+:x)
                for (long p = s; p < (s + 1024 < k ? s + 1024 : k); p++) x += a[(i + j) * k + p] * b[p];
                acc[j] += x;
            }
        for (long j = 0; j < h; j++) y[i + j] = acc[j];
    }
}
"""

_C_VECTOR_COLUMNS = """
void kernel(const float *a, const float *b, float *y, long m, long k) {
    for (long i = 0; i < m; i++) y[i] = 0;
    for (long p = 0; p < k; p++)
        for (long i = 0; i < m; i++) y[i] += a[i * k + p] * b[p];
}
"""

_C_VECTOR_SPLIT = """
void kernel(const float *a, const float *b, float *y, long m, long k) {
    for (long i = 0; i < m; i++) {
        float acc = 0;
        #pragma omp parallel for simd reduction(+:acc)
        for (long p = 0; p < k; p++) acc += a[i * k + p] * b[p];
        y[i] = acc;
    }
}
"""

_TRITON_VECTOR_ROW = """
def kernel(a, b, y, k, block: tl.constexpr):
    i = tl.program_id(0).to(tl.int64)
    acc = tl.zeros((block,), tl.float32)
    for s in range(0, k, block):
        p = s + tl.arange(0, block)
        acc += tl.load(a + i * k + p, p < k, 0.0) * tl.load(b + p, p < k, 0.0)
    tl.store(y + i, tl.sum(acc, 0))
"""

_TRITON_VECTOR_ROWS = """
def kernel(a, b, y, m, k, rows: tl.constexpr, block: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * rows + tl.arange(0, rows)[:, None]
    acc = tl.zeros((rows, block), tl.float32)
    for s in range(0, k, block):
        p = s + tl.arange(0, block)[None, :]
        acc += tl.load(a + i * k + p, (i < m) & (p < k), 0.0) * tl.load(b + p, p < k, 0.0)
    tl.store(y + i, tl.sum(acc, 1)[:, None], i < m)
"""

_TRITON_VECTOR_SPLIT = """
def kernel(a, b, y, k, block: tl.constexpr):
    i = tl.program_id(0).to(tl.int64)
    acc = tl.zeros((block,), tl.float32)
    for s in range(tl.program_id(1) * block, k, tl.num_programs(1) * block):
        p = s + tl.arange(0, block)
        acc += tl.load(a + i * k + p, p < k, 0.0) * tl.load(b + p, p < k, 0.0)
    tl.atomic_add(y + i, tl.sum(acc, 0))
"""

_CUDA_VECTOR_THREAD = """
__global__ void device_kernel(const float *a, const float *b, float *y, long m, long k) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i >= m) return;
    double acc = 0;
    for (long p = 0; p < k; p++) acc += a[i * k + p] * b[p];
    y[i] = acc;
}
extern "C" void kernel(const float *a, const float *b, float *y, long m, long k, cudaStream_t stream) {
    device_kernel<<<(m + $threads - 1) / $threads, $threads, 0, stream>>>(a, b, y, m, k);
}
"""

_CUDA_VECTOR_WARP = """
__global__ void device_kernel(const float *a, const float *b, float *y, long m, long k) {
    long i = blockIdx.x * (long)blockDim.y + threadIdx.y;
    if (i >= m) return;
    float acc = 0;
    for (long p = threadIdx.x; p < k; p += 32) acc += a[i * k + p] * b[p];
    for (int n = 16; n > 0; n /= 2) acc += __shfl_down_sync(0xffffffff, acc, n);
    if (threadIdx.x == 0) y[i] = acc;
}
extern "C" void kernel(const float *a, const float *b, float *y, long m, long k, cudaStream_t stream) {
    device_kernel<<<(m + $rows - 1) / $rows, dim3(32, $rows), 0, stream>>>(a, b, y, m, k);
}
"""

_CUDA_VECTOR_BLOCK = """
__global__ void device_kernel(const float *a, const float *b, float *y, long k) {
    __shared__ float x[$threads];
    long i = blockIdx.x, t = threadIdx.x;
    float acc = 0;
    for (long p = t; p < k; p += $threads) acc += a[i * k + p] * b[p];
    x[t] = acc;
    __syncthreads();
    for (int n = $threads / 2; n > 0; n /= 2) {
        if (t < n) x[t] += x[t + n];
        __syncthreads();
    }
    if (t == 0) y[i] = x[0];
}
extern "C" void kernel(const float *a, const float *b, float *y, long m, long k, cudaStream_t stream) {
    device_kernel<<<m, $threads, 0, stream>>>(a, b, y, k);
}
"""

_CUDA_VECTOR_WIDE = """
__global__ void device_kernel(const float4 *a, const float4 *b, float *y, long k) {
    float acc = 0;
    for (long p = threadIdx.x; p < k; p += blockDim.x) {
        float4 x = a[blockIdx.x * k + p], w = b[p];
        acc += x.x * w.x + x.y * w.y + x.z * w.z + x.w * w.w;
    }
    for (int n = 16; n > 0; n /= 2) acc += __shfl_down_sync(0xffffffff, acc, n);
    if (threadIdx.x % 32 == 0) atomicAdd(y + blockIdx.x, acc);
}
extern "C" void kernel(const float4 *a, const float4 *b, float *y, long m, long k, cudaStream_t stream) {
    device_kernel<<<m, $threads, 0, stream>>>(a, b, y, k / 4);
}
"""

_CUDA_VECTOR_SPLIT = """
__global__ void device_kernel(const float *a, const float *b, float *y, long k) {
    float acc = 0;
    for (long p = blockIdx.y * blockDim.x + threadIdx.x; p < k; p += gridDim.y * blockDim.x)
        acc += a[blockIdx.x * k + p] * b[p];
    atomicAdd(y + blockIdx.x, acc);
}
extern "C" void kernel(const float *a, const float *b, float *y, long m, long k, cudaStream_t stream) {
    device_kernel<<<dim3(m, $split), 256, 0, stream>>>(a, b, y, k);
}
"""


def _vector() -> list[Template]:
    sheet = Sheet(4, arguments="A, B")
    sheet.torch("matmul", "return torch.matmul(A, B)")
    sheet.torch("operator", "return A @ B")
    sheet.torch("mm", "return torch.mm(A, B)")
    sheet.torch("mv", "return torch.mv(A, B[:, 0])[:, None]")
    sheet.torch("einsum", 'return torch.einsum("ik,kj->ij", A, B)')
    sheet.torch("linear", "return F.linear(A, B.t())")
    sheet.torch("transposed", "return (B.t() @ A.t()).t()")
    sheet.torch("broadcast_sum", "return (A * B.t()).sum(1, keepdim=True)", cpu="slow", cuda="slow")
    sheet.torch("row_blocks", "return torch.cat([x @ B for x in A.split($block)])", block=[256, 512, 1024])
    sheet.torch("row_by_row", "return torch.stack([x.dot(B[:, 0]) for x in A])[:, None]", cuda="slow")
    sheet.torch(
        "split_sum",
        "n = A.shape[1] // $parts\nreturn sum(x @ w for x, w in zip(A.split(n, 1), B.split(n)))",
        parts=[2, 4, 8],
    )
    sheet.torch(
        "split_bmm",
        "x = A.view(len(A), $parts, -1).transpose(0, 1)\nreturn torch.bmm(x, B.view($parts, -1, 1)).sum(0)",
        parts=[2, 4, 8],
    )
    sheet.torch("mean", "return (A * B.t()).mean(1, keepdim=True)", correct=False)
    sheet.torch("flat", "return torch.mv(A, B[:, 0])", correct=False)
    sheet.torch("wrong_axis", "return (A * B.t()).sum(0, keepdim=True).t()", correct=False)
    sheet.torch(
        "half",
        "n = A.shape[1] // 2\nreturn A[:, :n] @ B[:n]",
        correct=False,
    )

    head = "m, k = A.shape\n"
    forward = head + "y = A.new_empty(m, 1)\nkernel(A, B, y, m, k)\nreturn y"
    added = forward.replace("new_empty", "new_zeros")
    sheet.c("rows_simd", _C_VECTOR_ROWS, forward, pace="slow")
    sheet.c(
        "rows",
        _C_VECTOR_ROWS.replace("        #pragma omp simd reduction(+:acc)\n", ""),
        forward,
        pace="slow",
    )
    sheet.c("serial_simd", _C_VECTOR_ROWS.replace("    #pragma omp parallel for\n", ""), forward, pace="slow")
    sheet.c("many_sums", _C_VECTOR_SUMS, forward, pace="slow", lanes=[32, 64, 128])
    sheet.c("row_groups", _C_VECTOR_GROUPS, forward, pace="slow", rows=[4, 8])
    sheet.c("columns", _C_VECTOR_COLUMNS, forward, pace="slow")
    sheet.c("split", _C_VECTOR_SPLIT, forward, pace="slow")
    sheet.c(
        "lost_lanes",
        _C_VECTOR_SUMS.replace("x += acc[j]", "x = acc[j]"),
        forward,
        correct=False,
        lanes=[32, 64],
    )
    sheet.c(
        "maximum",
        _C_VECTOR_ROWS.replace("reduction(+:acc)", "reduction(max:acc)").replace(
            "acc += a[i * k + p] * b[p]", "acc = acc > a[i * k + p] * b[p] ? acc : a[i * k + p] * b[p]"
        ),
        forward,
        correct=False,
    )

    def launch(call: str, zeros: bool = False) -> str:
        return head + f"y = A.new_{'zeros' if zeros else 'empty'}(m, 1)\n{call}\nreturn y"

    row = launch("kernel[(m,)](A, B, y, k, $block, num_warps=$warps)")
    sheet.triton("row", _TRITON_VECTOR_ROW, row, block=[1024, 2048, 4096], warps=[4, 8])
    rows = launch("kernel[(triton.cdiv(m, $rows),)](A, B, y, m, k, $rows, $block, num_warps=4)")
    sheet.triton("row_group", _TRITON_VECTOR_ROWS, rows, rows=[4, 8], block=[512, 1024])
    split = launch("kernel[(m, $split)](A, B, y, k, $block, num_warps=4)", zeros=True)
    sheet.triton("split", _TRITON_VECTOR_SPLIT, split, split=[4, 16], block=[1024, 2048])
    sheet.triton(
        "last_block",
        _TRITON_VECTOR_ROW.replace("acc += tl.load", "acc = tl.load"),
        row,
        correct=False,
        block=[1024, 2048],
        warps=[4],
    )
    sheet.cuda("thread", _CUDA_VECTOR_THREAD, forward, pace="slow", threads=[64, 128, 256])
    sheet.cuda("warp", _CUDA_VECTOR_WARP, forward, rows=[4, 8])
    sheet.cuda("block", _CUDA_VECTOR_BLOCK, forward, threads=[256, 512])
    sheet.cuda("wide_loads", _CUDA_VECTOR_WIDE, added, threads=[256, 512])
    sheet.cuda("split", _CUDA_VECTOR_SPLIT, added, split=[8, 32])
    sheet.cuda(
        "unreduced",
        _CUDA_VECTOR_WARP.replace(
            "    for (int n = 16; n > 0; n /= 2) acc += __shfl_down_sync(0xffffffff, acc, n);\n", ""
        ),
        forward,
        correct=False,
        rows=[4, 8],
    )
    return sheet.templates


@dataclass(frozen=True, slots=True, kw_only=True)
class _Triangle:
    """The texts in which the upper and the lower triangular product differ."""

    task: int
    keep: str
    lose: str
    mask: str
    halves: str
    rows: str
    columns: str
    blocks: str
    diagonal: str
    c_dot: str
    c_rows: str
    c_panel: str
    triton_range: str
    cuda_range: str


_UPPER = _Triangle(
    task=14,
    keep="triu",
    lose="tril",
    mask="i <= j",
    halves="y[:n] = A[:n] @ B\ny[n:, n:] = A[n:, n:] @ B[n:, n:]",
    rows="y[i:i + n, i:] = A[i:i + n, i:] @ B[i:, i:]",
    columns="y[:i + n, i:i + n] = A[:i + n, :i + n] @ B[:i + n, i:i + n]",
    blocks=(
        "    for j in range(i, len(A), n):\n        y[i:i + n, j:j + n] = A[i:i + n, i:j + n] @ B[i:j + n, j:j + n]"
    ),
    diagonal="y[i:i + n, i:i + n] = A[i:i + n, i:i + n] @ B[i:i + n, i:i + n]",
    c_dot="p = i; p <= j",
    c_rows="for (long p = i; p < k; p++)\n            for (long j = p; j < n; j++)",
    c_panel="p = i; p < k && p < s + $block",
    triton_range="tl.program_id(0) * block, min(k, tl.program_id(1) * block + block)",
    cuda_range="s = blockIdx.y * $tile; s < k && s < (blockIdx.x + 1) * $tile",
)
_LOWER = _Triangle(
    task=15,
    keep="tril",
    lose="triu",
    mask="i >= j",
    halves="y[n:] = A[n:] @ B\ny[:n, :n] = A[:n, :n] @ B[:n, :n]",
    rows="y[i:i + n, :i + n] = A[i:i + n, :i + n] @ B[:i + n, :i + n]",
    columns="y[i:, i:i + n] = A[i:, i:] @ B[i:, i:i + n]",
    blocks=(
        "    for j in range(0, i + 1, n):\n        y[i:i + n, j:j + n] = A[i:i + n, j:i + n] @ B[j:i + n, j:j + n]"
    ),
    diagonal="y[i:i + n, i:i + n] = A[i:i + n, i:i + n] @ B[i:i + n, i:i + n]",
    c_dot="p = j; p <= i",
    c_rows="for (long p = 0; p <= i; p++)\n            for (long j = 0; j <= p; j++)",
    c_panel="p = s; p <= i",
    triton_range="tl.program_id(1) * block, min(k, tl.program_id(0) * block + block)",
    cuda_range="s = blockIdx.x * $tile; s < k && s < (blockIdx.y + 1) * $tile",
)


def _triangular(side: _Triangle) -> list[Template]:
    sheet = Sheet(side.task, arguments="A, B")
    keep, lose = side.keep, side.lose
    sheet.torch("product_then_mask", f"return torch.{keep}(torch.matmul(A, B))")
    sheet.torch("mm_in_place", f"return torch.mm(A, B).{keep}_()")
    sheet.torch("einsum", f'return torch.{keep}(torch.einsum("ik,kj->ij", A, B))')
    sheet.torch("plain_product", "return torch.matmul(A, B)")
    sheet.torch("masked_inputs", f"return torch.{keep}(torch.{keep}(A) @ torch.{keep}(B))")
    sheet.torch("mask_product", f"return A @ B * torch.ones_like(A).{keep}()")
    sheet.torch(
        "mask_where",
        f"i = torch.arange(len(A), device=A.device)\nj = i[None, :]\ni = i[:, None]\nreturn torch.where({side.mask}, A @ B, 0.0)",
    )
    sheet.torch("transposed", f"return torch.{keep}((B.t() @ A.t()).t())")
    start = "n = len(A) // $parts\ny = torch.zeros_like(A)\n"
    loop = "for i in range(0, len(A), n):\n"
    sheet.torch("halves", start + side.halves + "\nreturn y", cpu="fast", cuda="fast", parts=[2])
    for name in ("rows", "columns"):
        text = f"{start}{loop}    {getattr(side, name)}\nreturn y"
        sheet.torch(f"block_{name}", text, cpu="fast", cuda="fast", parts=[4, 8])
    sheet.torch("blocks", f"{start}{loop}{side.blocks}\nreturn y", cpu="fast", cuda="fast", parts=[4, 8])
    sheet.torch("row_by_row", f"return torch.{keep}(torch.stack([x @ B for x in A]))", cpu="slow", cuda="slow")
    sheet.torch("other_triangle", f"return torch.{lose}(torch.matmul(A, B))", correct=False)
    sheet.torch(
        "without_diagonal",
        f"return torch.{keep}(torch.matmul(A, B), {'1' if keep == 'triu' else '-1'})",
        correct=False,
    )
    sheet.torch("swapped", f"return torch.{keep}(torch.matmul(B, A))", correct=False)
    sheet.torch("diagonal_blocks", f"{start}{loop}    {side.diagonal}\nreturn y", correct=False, parts=[4, 8])

    form = _Storage(x="A", w="B", sizes="m = n = k = len(A)", u="i * k + p", v="p * n + j", y="torch.empty_like(A)")
    at = form.indices
    forward = form.forward(_C_CALL)
    whole = "p = 0; p < k"
    dynamic = "parallel for schedule(dynamic)"
    dot = _C_DOT.replace(whole, side.c_dot).replace("parallel for", dynamic)
    sheet.c("dot", dot, forward, pace="slow", **at)
    full = _C_DOT.replace("y[i * n + j] = acc", f"y[i * n + j] = {side.mask} ? acc : 0")
    sheet.c("full_dot", full, forward, pace="slow", **at)
    rows = _C_ROWS.replace("for (long p = 0; p < k; p++)\n            for (long j = 0; j < n; j++)", side.c_rows)
    sheet.c("rows", rows.replace("parallel for", dynamic), forward, pace="fast", **at)
    sheet.c("full_rows", _C_ROWS, forward, pace="slow", **at)
    copied, _, product = _C_PANEL.partition("float acc[")
    panel = f"{copied}float acc[{product.replace(whole, side.c_panel)}".replace("parallel for", dynamic)
    sheet.c("panel", panel, forward, pace="fast", **at, block=[32, 64])
    limits = side.c_panel.replace("= i;", "= t;").replace("p <= i", "p < k && p < t + 4")
    copied, _, product = _C_REGISTERS.partition("float acc[")
    panel = f"{copied}float acc[{product.replace(whole, limits)}".replace("parallel for", dynamic)
    sheet.c("register_panel", panel, forward, pace="fast", **at, block=[64, 32])
    sheet.c("full_panel", _C_PANEL, forward, **at, block=[64, 128])
    wrong = dot.replace("p <=", "p <")
    sheet.c("dot_without_last", wrong, forward, correct=False, **at)

    forward = form.forward(_TRITON_CALL)
    tile = _TRITON_TILE.replace("range(0, k, step)", f"range({side.triton_range}, step)")
    sheet.triton("tile", tile, forward, pace="fast", **form.tiles, block=[64, 128], warps=[4, 8])
    masked = _TRITON_TILE.replace("i * n + j, acc,", f"i * n + j, tl.where({side.mask}, acc, 0.0),")
    sheet.triton("full_tile", masked, forward, **form.tiles, block=[64, 128], warps=[4, 8])
    wrong = tile.replace("block + block", "block")
    sheet.triton("tile_without_diagonal", wrong, forward, correct=False, **form.tiles, block=[64], warps=[4, 8])

    forward = form.forward(_CUDA_CALL)
    one = _CUDA_ONE.replace(whole, side.c_dot)
    sheet.cuda("one_output", one, forward, pace="slow", **at, rows=[8, 16])
    full = _CUDA_ONE.replace("y[i * n + j] = acc", f"y[i * n + j] = {side.mask} ? acc : 0")
    sheet.cuda("full_one_output", full, forward, pace="slow", **at, rows=[8, 16])
    shared = _CUDA_SHARED.replace("s = 0; s < k", side.cuda_range)
    sheet.cuda("shared_tile", shared, forward, **at, tile=[16, 32])
    registers = _CUDA_REGISTERS.replace("s = 0; s < k", side.cuda_range.replace("$tile", "64"))
    corners = {"ui": ["t / 16"], "up": ["t % 16"], "vj": ["t % 64"], "vp": ["t / 64"]}
    sheet.cuda("register_tile", registers, forward, pace="fast", **at, **corners)
    wrong = one.replace("p <=", "p <")
    sheet.cuda("one_output_without_last", wrong, forward, correct=False, **at, rows=[8, 16])
    return sheet.templates


def templates() -> list[Template]:
    return [
        *_product(1, _PLAIN, square=True),
        *_product(2, _PLAIN, long=True),
        *_batched(),
        *_vector(),
        *_product(6, _PLAIN, long=True),
        *_product(7, _PLAIN, short=True),
        *_product(8, _PLAIN),
        *_product(9, _PLAIN, short=True),
        *_stacked(),
        *_product(13, _PLAIN, square=True),
        *_triangular(_UPPER),
        *_triangular(_LOWER),
        *_product(16, _FIRST_TRANSPOSED, long=True),
        *_product(18, _BOTH_TRANSPOSED),
    ]
