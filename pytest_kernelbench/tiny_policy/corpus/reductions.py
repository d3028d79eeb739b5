"""Sum (47, kept dimension) and maximum (49) over the middle dimension of (n, m, k)."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_kernelbench.tiny_policy.corpus.base import Pace, Sheet, Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """``s`` and the next value ``v`` folded into one; ``start`` is the first ``s``."""

    task: int
    output: str
    start: str
    c: str
    triton: str
    triton_start: str
    triton_reduce: str
    omp: str
    atomic: str | None
    wrong_start: str
    wrong_c: str
    rows: Pace


SUM = Fold(
    task=47,
    output="y = x.new_empty(n, 1, k)",
    start="0",
    c="s + v",
    triton="s + v",
    triton_start="0.0",
    triton_reduce="tl.sum",
    omp="+",
    atomic="atomicAdd",
    wrong_start="1",
    wrong_c="s - v",
    rows="plain",
)
MAXIMUM = Fold(
    task=49,
    output="y = x.new_empty(n, k)",
    start="-1e30f",
    c="v > s ? v : s",
    triton="tl.maximum(s, v)",
    triton_start="-1e30",
    triton_reduce="tl.max",
    omp="max",
    atomic=None,
    wrong_start="1",
    wrong_c="v < s ? v : s",
    rows="fast",
)


def templates() -> list[Template]:
    return _sum() + _maximum()


def _sum() -> list[Template]:
    sheet = Sheet(47, init="dim")
    sheet.torch("sum", "return torch.sum(x, dim=1, keepdim=True)")
    sheet.torch("mean", "return torch.mean(x, dim=1, keepdim=True) * x.shape[1]")
    sheet.torch("ones_matmul", "return torch.ones_like(x[:, :1, :1]).expand(-1, 1, x.shape[1]) @ x")
    sheet.torch("einsum", 'return torch.einsum("nmk->nk", x)[:, None]')
    sheet.torch(
        "rows",
        "y = torch.zeros_like(x[:, :1])\nfor i in range(x.shape[1]):\n    y += x[:, i : i + 1]\nreturn y",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch("transposed", "return x.transpose(1, 2).contiguous().sum(dim=2)[:, None]", cpu="slow", cuda="slow")
    sheet.torch("cumsum", "return torch.cumsum(x, dim=1)[:, -1:].clone()", cpu="slow", cuda="slow")
    sheet.torch("samples", "return torch.stack([a.sum(dim=0, keepdim=True) for a in x])")
    sheet.torch("wrong_keepdim", "return torch.sum(x, dim=1)", correct=False)
    sheet.torch("wrong_axis", "return torch.sum(x, dim=2, keepdim=True)", correct=False)
    sheet.torch("wrong_mean", "return torch.mean(x, dim=1, keepdim=True)", correct=False)
    _kernels(sheet, SUM)
    return sheet.templates


def _maximum() -> list[Template]:
    sheet = Sheet(49, init="dim")
    sheet.torch("max_values", "return torch.max(x, dim=1).values")
    sheet.torch("amax", "return torch.amax(x, dim=1)", cpu="fast", cuda="plain")
    sheet.torch("sort", "return torch.sort(x, dim=1).values[:, -1]", cpu="slow", cuda="slow")
    sheet.torch("topk", "return torch.topk(x, 1, dim=1).values[:, 0]", cpu="slow", cuda="slow")
    sheet.torch("pool", "return F.max_pool2d(x[:, None], (x.shape[1], 1))[:, 0, 0]", cpu="slow", cuda="slow")
    sheet.torch(
        "rows",
        "y = x[:, 0].clone()\nfor i in range(x.shape[1]):\n    torch.maximum(y, x[:, i], out=y)\nreturn y",
    )
    sheet.torch("negated_amin", "return -torch.amin(-x, dim=1)", cpu="fast")
    sheet.torch("argmax", "return x.gather(1, x.argmax(dim=1, keepdim=True))[:, 0]")
    sheet.torch(
        "halves",
        "while x.shape[1] > 1:\n    a, b = x.chunk(2, dim=1)\n    x = torch.maximum(a, b)\nreturn x[:, 0]",
        cpu="fast",
    )
    sheet.torch("wrong_keepdim", "return torch.amax(x, dim=1, keepdim=True)", correct=False)
    sheet.torch("wrong_axis", "return torch.amax(x, dim=2)", correct=False)
    sheet.torch("wrong_min", "return torch.amin(x, dim=1)", correct=False)
    sheet.torch("wrong_indices", "return torch.max(x, dim=1).indices", correct=False)
    _kernels(sheet, MAXIMUM)
    return sheet.templates


def _kernels(sheet: Sheet, fold: Fold) -> None:
    shape = f"n, m, k = x.shape\n{fold.output}\n"
    forward = shape + "kernel(x, y, n, m, k)\nreturn y"

    def text(source: str) -> str:
        return source.replace("FOLD", fold.c).replace("START", fold.start).replace("OMP", fold.omp)

    columns = text("""
    void kernel(const float *x, float *y, long n, long m, long k) {
        for (long i = 0; i < n * k; i++) {
            float s = START;
            for (long j = 0; j < m; j++) {
                float v = x[(i / k * m + j) * k + i % k];
                s = FOLD;
            }
            y[i] = s;
        }
    }
    """)
    parallel = columns.replace("        for (long i", "        #pragma omp parallel for\n        for (long i")
    sheet.c("columns", columns, forward, pace="slow")
    sheet.c("omp_columns", parallel, forward, pace="slow")
    sheet.c("wrong_fold", parallel.replace(fold.c, fold.wrong_c), forward, correct=False)
    sheet.c(
        "wrong_start",
        parallel.replace(f"s = {fold.start}", f"s = {fold.wrong_start}"),
        forward,
        correct=False,
    )
    rows = text("""
    void kernel(const float *x, float *y, long n, long m, long k) {
        #pragma omp parallel for
        for (long i = 0; i < n; i++) {
            for (long l = 0; l < k; l++) {
                y[i * k + l] = START;
            }
            for (long j = 0; j < m; j++) {
                for (long l = 0; l < k; l++) {
                    float s = y[i * k + l], v = x[(i * m + j) * k + l];
                    y[i * k + l] = FOLD;
                }
            }
        }
    }
    """)
    sheet.c("omp_rows", rows, forward, pace="fast")
    sheet.c("rows", rows.replace("        #pragma omp parallel for\n", ""), forward, pace=fold.rows)
    blocks = text("""
    void kernel(const float *x, float *y, long n, long m, long k) {
        #pragma omp parallel for collapse(2)
        for (long i = 0; i < n; i++) {
            for (long l = 0; l < k; l += $block) {
                float a[$block];
                long w = k - l < $block ? k - l : $block;
                for (long t = 0; t < w; t++) {
                    a[t] = START;
                }
                for (long j = 0; j < m; j++) {
                    for (long t = 0; t < w; t++) {
                        float s = a[t], v = x[(i * m + j) * k + l + t];
                        a[t] = FOLD;
                    }
                }
                for (long t = 0; t < w; t++) {
                    y[i * k + l + t] = a[t];
                }
            }
        }
    }
    """)
    sheet.c("omp_blocks", blocks, forward, pace=fold.rows, block=(64, 256))

    def triton_text(source: str) -> str:
        return (
            source.replace("FOLD", fold.triton)
            .replace("START", fold.triton_start)
            .replace("REDUCE", fold.triton_reduce)
        )

    grid = shape + "kernel[(n, triton.cdiv(k, $block))](x, y, m, k, BLOCK=$block, num_warps=$warps)\nreturn y"
    loop = triton_text("""
    def kernel(x, y, m, k, BLOCK: tl.constexpr):
        i = tl.program_id(0).to(tl.int64)
        l = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        s = tl.full((BLOCK,), START, tl.float32)
        for j in range(m):
            v = tl.load(x + (i * m + j) * k + l, mask=l < k)
            s = FOLD
        tl.store(y + i * k + l, s, mask=l < k)
    """)
    choices = {"block": (128, 256), "warps": (2, 4)}
    sheet.triton("row_loop", loop, grid, **choices)
    wrong = loop.replace("range(m)", "range(0, m, 2)")
    sheet.triton("wrong_rows", wrong, grid, correct=False, **choices)
    tile = triton_text("""
    def kernel(x, y, m, k, ROWS: tl.constexpr, BLOCK: tl.constexpr):
        i = tl.program_id(0).to(tl.int64)
        l = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
        s = tl.full((ROWS, BLOCK), START, tl.float32)
        for t in range(0, m, ROWS):
            j = t + tl.arange(0, ROWS)[:, None]
            v = tl.load(x + (i * m + j) * k + l, mask=(j < m) & (l < k), other=START)
            s = FOLD
        tl.store(y + i * k + l, REDUCE(s, axis=0)[None, :], mask=l < k)
    """)
    tile_grid = shape + (
        "kernel[(n, triton.cdiv(k, $block))](x, y, m, k, ROWS=$rows, BLOCK=$block, num_warps=4)\nreturn y"
    )
    sheet.triton("tile", tile, tile_grid, rows=(16, 32), block=(64, 128))
    sheet.triton("tall_tile", tile, tile_grid, rows=(128, 256), block=(8, 16))

    column_cuda = text("""
    __global__ void device_kernel(const float *x, float *y, long n, long m, long k) {
        long i = blockIdx.x * ${block}L + threadIdx.x;
        if (i < n * k) {
            float s = START;
            for (long j = 0; j < m; j++) {
                float v = x[(i / k * m + j) * k + i % k];
                s = FOLD;
            }
            y[i] = s;
        }
    }

    extern "C" void kernel(const float *x, float *y, long n, long m, long k, cudaStream_t stream) {
        device_kernel<<<(n * k + $block - 1) / $block, $block, 0, stream>>>(x, y, n, m, k);
    }
    """)
    blocks_choices = (128, 256, 512)
    sheet.cuda("column", column_cuda, forward, block=blocks_choices)
    sheet.cuda("wrong_fold", column_cuda.replace(fold.c, fold.wrong_c), forward, correct=False, block=blocks_choices)
    sheet.cuda(
        "wrong_start",
        column_cuda.replace(f"s = {fold.start}", f"s = {fold.wrong_start}"),
        forward,
        correct=False,
        block=blocks_choices,
    )
    unrolled = column_cuda.replace(
        "            for (long j", "            #pragma unroll $unroll\n            for (long j"
    )
    sheet.cuda("column_unrolled", unrolled, forward, block=(128, 256), unroll=(8, 16))
    sheet.cuda(
        "shared",
        text("""
        __global__ void device_kernel(const float *x, float *y, long n, long m, long k) {
            __shared__ float a[$rows][32];
            long i = blockIdx.x * 32L + threadIdx.x;
            float s = START;
            if (i < n * k) {
                for (long j = threadIdx.y; j < m; j += $rows) {
                    float v = x[(i / k * m + j) * k + i % k];
                    s = FOLD;
                }
            }
            a[threadIdx.y][threadIdx.x] = s;
            __syncthreads();
            if (threadIdx.y == 0 && i < n * k) {
                for (int t = 1; t < $rows; t++) {
                    float v = a[t][threadIdx.x];
                    s = FOLD;
                }
                y[i] = s;
            }
        }

        extern "C" void kernel(const float *x, float *y, long n, long m, long k, cudaStream_t stream) {
            device_kernel<<<(n * k + 31) / 32, dim3(32, $rows), 0, stream>>>(x, y, n, m, k);
        }
        """),
        forward,
        rows=(8, 16, 32),
    )
    if fold.atomic is not None:
        sheet.cuda(
            "split_atomic",
            """
            __global__ void device_kernel(const float *x, float *y, long n, long m, long k) {
                long i = blockIdx.x * 256L + threadIdx.x;
                if (i < n * k) {
                    float s = 0;
                    for (long j = blockIdx.y; j < m; j += $split) {
                        s += x[(i / k * m + j) * k + i % k];
                    }
                    atomicAdd(y + i, s);
                }
            }

            extern "C" void kernel(const float *x, float *y, long n, long m, long k, cudaStream_t stream) {
                device_kernel<<<dim3((n * k + 255) / 256, $split), 256, 0, stream>>>(x, y, n, m, k);
            }
            """,
            forward.replace("new_empty", "new_zeros"),
            split=(8, 32),
        )
