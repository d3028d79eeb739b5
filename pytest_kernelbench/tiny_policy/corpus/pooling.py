# ruff: noqa: E501 - the lines of a kernel text are the candidate's, not ours
"""Pooling: maximum and average, in one and in two dimensions.

``k``, ``s``, ``p`` and ``d`` are kernel size, stride, padding and dilation; a kernel of the average family has
no ``d``. ``$start``, ``$join`` and ``$end`` make one text serve maximum and average.
"""

from __future__ import annotations

from pytest_kernelbench.tiny_policy.corpus.base import Sheet, Template

_MAX = {"start": ["-INFINITY"], "join": ["acc = v > acc ? v : acc"], "end": ["acc"]}
_MEAN_1D = {"start": ["0"], "join": ["acc += v"], "end": ["acc / k"]}
_MEAN_2D = {"start": ["0"], "join": ["acc += v"], "end": ["acc / (k * k)"]}
_TRITON_MAX = {"start": ['float("-inf")'], "join": ["acc = tl.maximum(acc, v)"], "end": ["acc"]}
_TRITON_MEAN_1D = {"start": ["0.0"], "join": ["acc += v"], "end": ["acc / k"]}
_TRITON_MEAN_2D = {"start": ["0.0"], "join": ["acc += v"], "end": ["acc / (k * k)"]}


def _undilated(text: str) -> str:
    for dilated, plain in ((", long d", ""), (", p, d", ", p"), (" * d", ""), ("k, s, p, d", "k, s, p")):
        text = text.replace(dilated, plain)
    return text.replace("- (k - 1) - 1) // s + 1", "- k) // s + 1")


_FORWARD_1D = """
k, s, p, d = self.sizes
n = x.shape[2]
m = (n + 2 * p - (k - 1) * d - 1) // s + 1
y = x.new_empty(*x.shape[:2], m)
CALL
return y
"""
_CALL_1D = "kernel(x, y, x.numel() // n, n, m, k, s, p, d)"

_C_DIRECT_1D = """
#include <math.h>
void kernel(const float *x, float *y, long r, long n, long m, long k, long s, long p, long d) {
    #pragma omp parallel for
    for (long t = 0; t < r; t++)
        for (long i = 0; i < m; i++) {
            float acc = $start;
            for (long j = 0; j < k; j++) {
                long q = i * s - p + j * d;
                if (q < 0 || q >= n) continue;
                float v = x[t * n + q];
                $join;
            }
            y[t * m + i] = $end;
        }
}
"""

_C_PASSES_1D = """
#include <math.h>
#include <stdlib.h>
void kernel(const float *x, float *y, long r, long n, long m, long k, long s, long p, long d) {
    #pragma omp parallel for
    for (long t = 0; t < r; t++) {
        long l = n + 2 * p - (k - 1) * d;
        float *u = malloc(4 * (n + 2 * p)), *w = malloc(4 * l);
        for (long i = 0; i < n + 2 * p; i++) u[i] = i < p || i >= n + p ? $start : x[t * n + i - p];
        for (long i = 0; i < l; i++) w[i] = u[i];
        for (long j = 1; j < k; j++)
            for (long i = 0; i < l; i++) {
                float v = u[i + j * d], acc = w[i];
                $join;
                w[i] = acc;
            }
        for (long i = 0; i < m; i++) {
            float acc = w[i * s];
            y[t * m + i] = $end;
        }
        free(u);
        free(w);
    }
}
"""

_C_DOUBLING_1D = """
#include <math.h>
#include <stdlib.h>
void kernel(const float *x, float *y, long r, long n, long m, long k, long s, long p, long d) {
    #pragma omp parallel for
    for (long t = 0; t < r; t++) {
        long l = n + 2 * p, c = 1;
        float *u = malloc(4 * l), *w = malloc(4 * l), *z;
        for (long i = 0; i < p; i++) u[i] = u[n + p + i] = $start;
        for (long i = 0; i < n; i++) u[i + p] = x[t * n + i];
        for (; k % (2 * c) == 0; c *= 2) {
            l -= c * d;
            for (long i = 0; i < l; i++) {
                float v = u[i + c * d], acc = u[i];
                $join;
                w[i] = acc;
            }
            z = u, u = w, w = z;
        }
        for (long i = 0; i < m; i++) {
            float acc = u[i * s];
            for (long j = c; j < k; j += c) {
                float v = u[i * s + j * d];
                $join;
            }
            y[t * m + i] = $end;
        }
        free(u);
        free(w);
    }
}
"""

_TRITON_ROW_1D = """
def kernel(x, y, n, m, k, s, p, d, block: tl.constexpr):
    t = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * block + tl.arange(0, block)
    acc = tl.full((block,), $start, tl.float32)
    for j in range(k):
        q = i * s - p + j * d
        v = tl.load(x + t * n + q, (q >= 0) & (q < n), $start)
        $join
    tl.store(y + t * m + i, $end, i < m)
"""
_TRITON_ROW_CALL_1D = (
    "kernel[(x.numel() // n, triton.cdiv(m, $block))](x, y, n, m, k, s, p, d, $block, num_warps=$warps)"
)

_TRITON_FLAT_1D = """
def kernel(x, y, r, n, m, k, s, p, d, block: tl.constexpr):
    z = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    t = z // m
    i = z % m
    acc = tl.full((block,), $start, tl.float32)
    for j in range(k):
        q = i * s - p + j * d
        v = tl.load(x + t * n + q, (t < r) & (q >= 0) & (q < n), $start)
        $join
    tl.store(y + z, $end, t < r)
"""
_TRITON_FLAT_CALL_1D = (
    "r = x.numel() // n\nkernel[(triton.cdiv(r * m, $block),)](x, y, r, n, m, k, s, p, d, $block, num_warps=$warps)"
)

_CUDA_ROW_1D = """
__global__ void device_kernel(const float *x, float *y, long n, long m, long k, long s, long p, long d) {
    long t = blockIdx.x, i = blockIdx.y * (long)blockDim.x + threadIdx.x;
    if (i >= m) return;
    float acc = $start;
    for (long j = 0; j < k; j++) {
        long q = i * s - p + j * d;
        if (q < 0 || q >= n) continue;
        float v = x[t * n + q];
        $join;
    }
    y[t * m + i] = $end;
}
extern "C" void kernel(const float *x, float *y, long r, long n, long m, long k, long s, long p, long d, cudaStream_t stream) {
    dim3 grid(r, (m + $threads - 1) / $threads);
    device_kernel<<<grid, $threads, 0, stream>>>(x, y, n, m, k, s, p, d);
}
"""

_CUDA_FLAT_1D = """
__global__ void device_kernel(const float *x, float *y, long r, long n, long m, long k, long s, long p, long d) {
    long z = blockIdx.x * (long)blockDim.x + threadIdx.x, t = z / m, i = z % m;
    if (t >= r) return;
    float acc = $start;
    for (long j = 0; j < k; j++) {
        long q = i * s - p + j * d;
        if (q < 0 || q >= n) continue;
        float v = x[t * n + q];
        $join;
    }
    y[z] = $end;
}
extern "C" void kernel(const float *x, float *y, long r, long n, long m, long k, long s, long p, long d, cudaStream_t stream) {
    device_kernel<<<(r * m + $threads - 1) / $threads, $threads, 0, stream>>>(x, y, r, n, m, k, s, p, d);
}
"""

_CUDA_SHARED_1D = """
__global__ void device_kernel(const float *x, float *y, long n, long m, long k, long s, long p, long d) {
    extern __shared__ float u[];
    long t = blockIdx.x, c = blockIdx.y * $threads, i = c + threadIdx.x;
    for (long j = threadIdx.x; j < ($threads - 1) * s + (k - 1) * d + 1; j += $threads) {
        long q = c * s - p + j;
        u[j] = q < 0 || q >= n ? $start : x[t * n + q];
    }
    __syncthreads();
    if (i >= m) return;
    float acc = $start;
    for (long j = 0; j < k; j++) {
        float v = u[threadIdx.x * s + j * d];
        $join;
    }
    y[t * m + i] = $end;
}
extern "C" void kernel(const float *x, float *y, long r, long n, long m, long k, long s, long p, long d, cudaStream_t stream) {
    dim3 grid(r, (m + $threads - 1) / $threads);
    long size = 4 * ($threads * s + k * d);
    device_kernel<<<grid, $threads, size, stream>>>(x, y, n, m, k, s, p, d);
}
"""

_CUDA_MANY_1D = """
__global__ void device_kernel(const float *x, float *y, long n, long m, long k, long s, long p, long d) {
    long t = blockIdx.x;
    for (long i = threadIdx.x; i < m; i += blockDim.x) {
        float acc = $start;
        for (long j = 0; j < k; j++) {
            long q = i * s - p + j * d;
            float v = q < 0 || q >= n ? $start : x[t * n + q];
            $join;
        }
        y[t * m + i] = $end;
    }
}
extern "C" void kernel(const float *x, float *y, long r, long n, long m, long k, long s, long p, long d, cudaStream_t stream) {
    device_kernel<<<r, $threads, 0, stream>>>(x, y, n, m, k, s, p, d);
}
"""


def _compiled_1d(sheet: Sheet, maximum: bool) -> None:
    op, tile = (_MAX, _TRITON_MAX) if maximum else (_MEAN_1D, _TRITON_MEAN_1D)

    def text(kernel: str) -> str:
        return kernel if maximum else _undilated(kernel.replace("#include <math.h>\n", ""))

    def forward(call: str) -> str:
        return text(_FORWARD_1D.replace("CALL", call))

    call = forward(_CALL_1D)
    sheet.c("direct", text(_C_DIRECT_1D), call, pace="slow" if maximum else "plain", **op)
    sheet.c("serial", text(_C_DIRECT_1D).replace("    #pragma omp parallel for\n", ""), call, pace="slow", **op)
    sheet.c("passes", text(_C_PASSES_1D), call, pace="plain" if maximum else "fast", **op)
    sheet.c("doubling", text(_C_DOUBLING_1D), call, pace="plain" if maximum else "fast", **op)
    if maximum:
        sheet.c("minimum", text(_C_DIRECT_1D), call, correct=False, **{**op, "join": ["acc = v < acc ? v : acc"]})
        wrong = text(_C_DIRECT_1D).replace("i * s - p + j * d", "i * s - p + j")
        sheet.c("undilated", wrong, call, correct=False, **op)
    else:
        wrong = text(_C_DIRECT_1D).replace("i * s - p + j", "i * s + j")
        sheet.c("unpadded", wrong, call, correct=False, **op)
        sheet.c("undivided", text(_C_DIRECT_1D), call, correct=False, **{**op, "end": ["acc"]})

    pace = "fast" if maximum else "plain"
    rows = forward(_TRITON_ROW_CALL_1D)
    wide = {"block": [1024, 512, 2048], "warps": [4, 8]}
    sheet.triton("row", text(_TRITON_ROW_1D), rows, pace="fast", **tile, **wide)
    flat = forward(_TRITON_FLAT_CALL_1D)
    sheet.triton("flat", text(_TRITON_FLAT_1D), flat, pace=pace, **tile, **wide)
    wrong = text(_TRITON_ROW_1D).replace("i * s - p", "i * s")
    sheet.triton("unpadded", wrong, rows, correct=False, **tile, **wide)

    threads = {"threads": [256, 512]}
    sheet.cuda("row", text(_CUDA_ROW_1D), call, pace="fast", **op, **threads)
    sheet.cuda("flat", text(_CUDA_FLAT_1D), call, pace="fast", **op, **threads)
    sheet.cuda("shared", text(_CUDA_SHARED_1D), call, pace="fast", **op, **threads)
    sheet.cuda("row_loop", text(_CUDA_MANY_1D), call, pace="fast", **op, **threads)
    wrong = text(_CUDA_ROW_1D).replace("j < k;", "j < k - 1;")
    sheet.cuda("short_window", wrong, call, correct=False, **op, **threads)


def _max_1d() -> list[Template]:
    sheet = Sheet(
        41,
        init="kernel_size, stride=None, padding=0, dilation=1, return_indices=False",
        setup="self.sizes = kernel_size, stride or kernel_size, padding, dilation",
    )
    sizes = "k, s, p, d = self.sizes\n"
    module = "self.maxpool = nn.MaxPool1d(kernel_size, stride, padding, dilation, return_indices)"
    padded = sizes + 'x = F.pad(x, (p, p), value=float("-inf"))\n'
    length = "n = (x.shape[2] - (k - 1) * d - 1) // s * s + 1\n"
    sheet.torch("module", "return self.maxpool(x)", setup=module)
    sheet.torch("functional", sizes + "return F.max_pool1d(x, k, s, p, d)")
    sheet.torch(
        "functional_2d",
        sizes + "return F.max_pool2d(x[:, :, None], (1, k), (1, s), (0, p), (1, d))[:, :, 0]",
        cpu="slow",
    )
    sheet.torch("with_indices", sizes + "return F.max_pool1d(x, k, s, p, d, return_indices=True)[0]", cpu="slow")
    sheet.torch(
        "slices",
        padded + length + "y = x[:, :, :n:s]\nfor i in range(d, k * d, d):\n"
        "    y = torch.maximum(y, x[:, :, i:i + n:s])\nreturn y",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "slices_out",
        padded + length + "y = x[:, :, :n:s].clone()\nfor i in range(d, k * d, d):\n"
        "    torch.maximum(y, x[:, :, i:i + n:s], out=y)\nreturn y",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "stacked",
        padded + length + "return torch.stack([x[:, :, i:i + n:s] for i in range(0, k * d, d)]).amax(0)",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch("unfold", padded + "return x.unfold(2, (k - 1) * d + 1, s)[..., ::d].amax(3)", cpu="slow")
    sheet.torch(
        "doubling",
        padded + "n = 1\nwhile 2 * n <= k:\n    x = torch.maximum(x[..., :-n * d], x[..., n * d:])\n    n *= 2\n"
        "n = (k - n) * d\nif n > 0:\n    x = torch.maximum(x[..., :-n], x[..., n:])\nreturn x[..., ::s]",
        cpu="slow",
    )
    sheet.torch(
        "undilated",
        sizes + "x = F.pad(x, (0, -(k - 1) * (d - 1)))\nreturn F.max_pool1d(x, k, s, p)",
        correct=False,
    )
    sheet.torch("unpadded", sizes + "x = F.pad(x, (0, 2 * p))\nreturn F.max_pool1d(x, k, s, 0, d)", correct=False)
    sheet.torch(
        "mean",
        padded.replace(', value=float("-inf")', "") + "return x.unfold(2, (k - 1) * d + 1, s)[..., ::d].mean(3)",
        correct=False,
    )
    _compiled_1d(sheet, True)
    return sheet.templates


def _mean_1d() -> list[Template]:
    sheet = Sheet(44, init="kernel_size, stride=1, padding=0", setup="self.sizes = kernel_size, stride, padding")
    sizes = "k, s, p = self.sizes\n"
    padded = sizes + "x = F.pad(x, (p, p))\n"
    length = "n = (x.shape[2] - k) // s * s + 1\n"
    sheet.torch(
        "module",
        "return self.avg_pool(x)",
        setup="self.avg_pool = nn.AvgPool1d(kernel_size, stride, padding)",
    )
    sheet.torch("functional", sizes + "return F.avg_pool1d(x, k, s, p)")
    sheet.torch("functional_2d", sizes + "return F.avg_pool2d(x[:, :, None], (1, k), (1, s), (0, p))[:, :, 0]")
    sheet.torch(
        "slices",
        padded + length + "return sum(x[:, :, i:i + n:s] for i in range(k)) / k",
        cpu="fast",
        cuda="slow",
    )
    sheet.torch(
        "slices_in_place",
        padded
        + length
        + "y = x[:, :, :n:s].clone()\nfor i in range(1, k):\n    y += x[:, :, i:i + n:s]\nreturn y.div_(k)",
        cpu="fast",
        cuda="slow",
    )
    sheet.torch("unfold", padded + "return x.unfold(2, k, s).mean(3)", cpu="fast")
    sheet.torch(
        "doubling",
        padded + "n = 1\nwhile k % (2 * n) == 0:\n    x = x[..., :-n] + x[..., n:]\n    n *= 2\n"
        "m = x.shape[2] - k + n\nreturn sum(x[..., i:i + m:s] for i in range(0, k, n)) / k",
        cpu="fast",
        cuda="slow",
    )
    sheet.torch(
        "cumsum",
        sizes
        + "x = F.pad(x, (p + 1, p)).double().cumsum(2)\nreturn ((x[..., k:] - x[..., :-k])[..., ::s] / k).float()",
        cpu="fast",
        cuda="slow",
    )
    sheet.torch(
        "convolution",
        sizes
        + "w = x.new_full((1, 1, k), 1 / k)\nreturn F.conv1d(x.flatten(0, 1)[:, None], w, stride=s, padding=p).view(*x.shape[:2], -1)",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch("unpadded", sizes + "return F.avg_pool1d(F.pad(x, (0, 2 * p)), k, s)", correct=False)
    sheet.torch("uncounted_padding", sizes + "return F.avg_pool1d(x, k, s, p, count_include_pad=False)", correct=False)
    sheet.torch("maximum", sizes + "return F.max_pool1d(x, k, s, p)", correct=False)
    _compiled_1d(sheet, False)
    return sheet.templates


_FORWARD_2D = """
k, s, p, d = self.sizes
h, w = x.shape[2:]
m = (h + 2 * p - (k - 1) * d - 1) // s + 1
n = (w + 2 * p - (k - 1) * d - 1) // s + 1
y = x.new_empty(*x.shape[:2], m, n)
CALL
return y
"""
_CALL_2D = "kernel(x, y, x.numel() // (h * w), h, w, m, n, k, s, p, d)"

_C_DIRECT_2D = """
#include <math.h>
void kernel(const float *x, float *y, long r, long h, long w, long m, long n, long k, long s, long p, long d) {
    #pragma omp parallel for
    for (long t = 0; t < r * m; t++)
        for (long j = 0; j < n; j++) {
            float acc = $start;
            for (long a = 0; a < k; a++)
                for (long b = 0; b < k; b++) {
                    long i = t % m * s - p + a * d, c = j * s - p + b * d;
                    if (i < 0 || i >= h || c < 0 || c >= w) continue;
                    float v = x[(t / m * h + i) * w + c];
                    $join;
                }
            y[t * n + j] = $end;
        }
}
"""

_C_SEPARABLE_2D = """
#include <math.h>
#include <stdlib.h>
void kernel(const float *x, float *y, long r, long h, long w, long m, long n, long k, long s, long p, long d) {
    #pragma omp parallel for
    for (long t = 0; t < r * m; t++) {
        float *u = malloc(4 * (w + 2 * p));
        for (long c = 0; c < w + 2 * p; c++) u[c] = $start;
        for (long a = 0; a < k; a++) {
            long i = t % m * s - p + a * d;
            if (i < 0 || i >= h) continue;
            for (long c = 0; c < w; c++) {
                float v = x[(t / m * h + i) * w + c], acc = u[c + p];
                $join;
                u[c + p] = acc;
            }
        }
        for (long j = 0; j < n; j++) {
            float acc = $start;
            for (long b = 0; b < k; b++) {
                float v = u[j * s + b * d];
                $join;
            }
            y[t * n + j] = $end;
        }
        free(u);
    }
}
"""

_C_DENSE_2D = _C_SEPARABLE_2D.replace(
    "malloc(4 * (w + 2 * p));",
    "malloc(4 * (w + 2 * p)), *z = malloc(4 * (w + 2 * p));",
).replace(
    """        for (long j = 0; j < n; j++) {
            float acc = $start;
            for (long b = 0; b < k; b++) {
                float v = u[j * s + b * d];
                $join;
            }
            y[t * n + j] = $end;
        }
        free(u);
""",
    """        long l = w + 2 * p - (k - 1) * d;
        for (long j = 0; j < l; j++) z[j] = u[j];
        for (long b = 1; b < k; b++)
            for (long j = 0; j < l; j++) {
                float v = u[j + b * d], acc = z[j];
                $join;
                z[j] = acc;
            }
        for (long j = 0; j < n; j++) {
            float acc = z[j * s];
            y[t * n + j] = $end;
        }
        free(u);
        free(z);
""",
)

_TRITON_ROW_2D = """
def kernel(x, y, h, w, m, n, k, s, p, d, block: tl.constexpr):
    t = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * block + tl.arange(0, block)
    acc = tl.full((block,), $start, tl.float32)
    for a in range(k):
        i = t % m * s - p + a * d
        for b in range(k):
            c = j * s - p + b * d
            v = tl.load(x + (t // m * h + i) * w + c, (i >= 0) & (i < h) & (c >= 0) & (c < w), $start)
            $join
    tl.store(y + t * n + j, $end, j < n)
"""
_TRITON_ROW_CALL_2D = (
    "r = x.numel() // (h * w)\n"
    "kernel[(r * m, triton.cdiv(n, $block))](x, y, h, w, m, n, k, s, p, d, $block, num_warps=$warps)"
)

_TRITON_FLAT_2D = """
def kernel(x, y, r, h, w, m, n, k, s, p, d, block: tl.constexpr):
    z = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    t = z // (m * n)
    acc = tl.full((block,), $start, tl.float32)
    for a in range(k):
        i = z // n % m * s - p + a * d
        for b in range(k):
            c = z % n * s - p + b * d
            v = tl.load(x + (t * h + i) * w + c, (t < r) & (i >= 0) & (i < h) & (c >= 0) & (c < w), $start)
            $join
    tl.store(y + z, $end, t < r)
"""
_TRITON_FLAT_CALL_2D = (
    "r = x.numel() // (h * w)\n"
    "kernel[(triton.cdiv(r * m * n, $block),)](x, y, r, h, w, m, n, k, s, p, d, $block, num_warps=$warps)"
)

_CUDA_ROW_2D = """
__global__ void device_kernel(const float *x, float *y, long h, long w, long m, long n, long k, long s, long p, long d) {
    long t = blockIdx.x;
    for (long j = threadIdx.x; j < n; j += blockDim.x) {
        float acc = $start;
        for (long a = 0; a < k; a++)
            for (long b = 0; b < k; b++) {
                long i = t % m * s - p + a * d, c = j * s - p + b * d;
                if (i < 0 || i >= h || c < 0 || c >= w) continue;
                float v = x[(t / m * h + i) * w + c];
                $join;
            }
        y[t * n + j] = $end;
    }
}
extern "C" void kernel(const float *x, float *y, long r, long h, long w, long m, long n, long k, long s, long p, long d, cudaStream_t stream) {
    device_kernel<<<r * m, $threads, 0, stream>>>(x, y, h, w, m, n, k, s, p, d);
}
"""

_CUDA_FLAT_2D = """
__global__ void device_kernel(const float *x, float *y, long r, long h, long w, long m, long n, long k, long s, long p, long d) {
    long z = blockIdx.x * (long)blockDim.x + threadIdx.x, t = z / n;
    if (t >= r * m) return;
    float acc = $start;
    for (long a = 0; a < k; a++)
        for (long b = 0; b < k; b++) {
            long i = t % m * s - p + a * d, c = z % n * s - p + b * d;
            if (i < 0 || i >= h || c < 0 || c >= w) continue;
            float v = x[(t / m * h + i) * w + c];
            $join;
        }
    y[z] = $end;
}
extern "C" void kernel(const float *x, float *y, long r, long h, long w, long m, long n, long k, long s, long p, long d, cudaStream_t stream) {
    device_kernel<<<(r * m * n + $threads - 1) / $threads, $threads, 0, stream>>>(x, y, r, h, w, m, n, k, s, p, d);
}
"""

_CUDA_SEPARABLE_2D = """
__global__ void device_kernel(const float *x, float *y, long h, long w, long m, long n, long k, long s, long p, long d) {
    extern __shared__ float u[];
    long t = blockIdx.x;
    for (long c = threadIdx.x; c < w + 2 * p; c += blockDim.x) {
        float acc = $start;
        for (long a = 0; a < k; a++) {
            long i = t % m * s - p + a * d;
            if (i < 0 || i >= h || c < p || c >= w + p) continue;
            float v = x[(t / m * h + i) * w + c - p];
            $join;
        }
        u[c] = acc;
    }
    __syncthreads();
    for (long j = threadIdx.x; j < n; j += blockDim.x) {
        float acc = $start;
        for (long b = 0; b < k; b++) {
            float v = u[j * s + b * d];
            $join;
        }
        y[t * n + j] = $end;
    }
}
extern "C" void kernel(const float *x, float *y, long r, long h, long w, long m, long n, long k, long s, long p, long d, cudaStream_t stream) {
    device_kernel<<<r * m, $threads, 4 * (w + 2 * p), stream>>>(x, y, h, w, m, n, k, s, p, d);
}
"""


def _compiled_2d(sheet: Sheet, maximum: bool) -> None:
    op, tile = (_MAX, _TRITON_MAX) if maximum else (_MEAN_2D, _TRITON_MEAN_2D)

    def text(kernel: str) -> str:
        return kernel if maximum else _undilated(kernel.replace("#include <math.h>\n", ""))

    def forward(call: str) -> str:
        return text(_FORWARD_2D.replace("CALL", call))

    call = forward(_CALL_2D)
    sheet.c("direct", text(_C_DIRECT_2D), call, pace="fast" if maximum else "slow", **op)
    sheet.c(
        "serial",
        text(_C_DIRECT_2D).replace("    #pragma omp parallel for\n", ""),
        call,
        pace="fast" if maximum else "slow",
        **op,
    )
    sheet.c("separable", text(_C_SEPARABLE_2D), call, pace="fast", **op)
    if maximum:
        sheet.c("separable_dense", text(_C_DENSE_2D), call, pace="fast", **op)
    wrong = text(_C_DIRECT_2D).replace("b < k; b++", "b < k - 1; b++")
    sheet.c("narrow_window", wrong, call, correct=False, **op)
    if maximum:
        sheet.c("short_window", text(_C_SEPARABLE_2D).replace("k; a++", "k - 1; a++"), call, correct=False, **op)
    else:
        sheet.c("undivided", text(_C_SEPARABLE_2D), call, correct=False, **{**op, "end": ["acc / k"]})

    rows = forward(_TRITON_ROW_CALL_2D)
    narrow = {"block": [256, 512] if maximum else [128, 256], "warps": [4, 2]}
    sheet.triton("row", text(_TRITON_ROW_2D), rows, pace="fast" if maximum else "plain", **tile, **narrow)
    flat = forward(_TRITON_FLAT_CALL_2D)
    sheet.triton("flat", text(_TRITON_FLAT_2D), flat, **tile, **narrow)
    wrong = text(_TRITON_ROW_2D).replace("        for b in range(k):", "        for b in range(k - 1):")
    sheet.triton("narrow_window", wrong, rows, correct=False, **tile, **narrow)

    threads = {"threads": [256, 128]}
    sheet.cuda("row", text(_CUDA_ROW_2D), call, **op, **threads)
    sheet.cuda("flat", text(_CUDA_FLAT_2D), call, **op, **threads)
    sheet.cuda("separable", text(_CUDA_SEPARABLE_2D), call, pace="fast" if maximum else "slow", **op, **threads)
    wrong = text(_CUDA_SEPARABLE_2D).replace("a < k; a++", "a < k - 1; a++")
    sheet.cuda("separable_short", wrong, call, correct=False, **op, **threads)


def _max_2d() -> list[Template]:
    sheet = Sheet(
        42,
        init="kernel_size, stride, padding, dilation",
        setup="self.sizes = kernel_size, stride, padding, dilation",
    )
    sizes = "k, s, p, d = self.sizes\n"
    padded = sizes + 'x = F.pad(x, (p, p, p, p), value=float("-inf"))\n'
    lengths = "m = (x.shape[2] - (k - 1) * d - 1) // s * s + 1\nn = (x.shape[3] - (k - 1) * d - 1) // s * s + 1\n"
    steps = "range(0, k * d, d)"
    sheet.torch(
        "module",
        "return self.maxpool(x)",
        setup="self.maxpool = nn.MaxPool2d(kernel_size, stride, padding, dilation)",
    )
    sheet.torch("functional", sizes + "return F.max_pool2d(x, k, s, p, d)")
    sheet.torch("with_indices", sizes + "return F.max_pool2d(x, k, s, p, d, return_indices=True)[0]")
    sheet.torch(
        "separable",
        sizes
        + "x = F.max_pool2d(x, (k, 1), (s, 1), (p, 0), (d, 1))\nreturn F.max_pool2d(x, (1, k), (1, s), (0, p), (1, d))",
    )
    sheet.torch(
        "columns_first",
        sizes
        + "x = F.max_pool2d(x, (1, k), (1, s), (0, p), (1, d))\nreturn F.max_pool2d(x, (k, 1), (s, 1), (p, 0), (d, 1))",
    )
    sheet.torch(
        "slices",
        padded + lengths + f"x = [x[:, :, i:i + m:s, j:j + n:s] for i in {steps} for j in {steps}]\n"
        "y = x[0]\nfor i in x:\n    y = torch.maximum(y, i)\nreturn y",
        cpu="fast",
        cuda="slow",
    )
    sheet.torch(
        "stacked",
        padded
        + lengths
        + f"return torch.stack([x[:, :, i:i + m:s, j:j + n:s] for i in {steps} for j in {steps}]).amax(0)",
        cpu="fast",
        cuda="slow",
    )
    sheet.torch(
        "separable_slices",
        padded + lengths + f"y = x[:, :, :m:s]\nfor i in {steps}:\n    y = torch.maximum(y, x[:, :, i:i + m:s])\n"
        f"x = y[..., :n:s]\nfor i in {steps}:\n    x = torch.maximum(x, y[..., i:i + n:s])\nreturn x",
        cpu="fast",
    )
    sheet.torch(
        "doubling",
        padded + "for i in (2, 3):\n    n = 1\n    while n < k:\n        m = min(n, k - n) * d\n"
        "        l = x.shape[i] - m\n        x = torch.maximum(x.narrow(i, 0, l), x.narrow(i, m, l))\n        n *= 2\n"
        "return x[:, :, ::s, ::s]",
        cpu="fast",
    )
    sheet.torch(
        "unfold",
        padded + "n = (k - 1) * d + 1\nreturn x.unfold(2, n, s).unfold(3, n, s)[..., ::d, ::d].amax((4, 5))",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "one_axis",
        sizes + "return F.max_pool2d(F.pad(x, (0, 1 - k + 2 * p)), (k, 1), s, (p, 0), d)",
        correct=False,
    )
    sheet.torch("unpadded", sizes + "return F.max_pool2d(F.pad(x, (0, 2 * p, 0, 2 * p)), k, s, 0, d)", correct=False)
    sheet.torch("mean", sizes + "return F.avg_pool2d(x, k, s, p)", correct=False)
    _compiled_2d(sheet, True)
    return sheet.templates


def _mean_2d() -> list[Template]:
    sheet = Sheet(
        45,
        init="kernel_size, stride=None, padding=0",
        setup="self.sizes = kernel_size, stride or kernel_size, padding",
    )
    sizes = "k, s, p = self.sizes\n"
    padded = sizes + "x = F.pad(x, (p, p, p, p))\n"
    lengths = "m = (x.shape[2] - k) // s * s + 1\nn = (x.shape[3] - k) // s * s + 1\n"
    windows = padded + "x = x.unfold(2, k, s).unfold(3, k, s)\n"
    sheet.torch(
        "module",
        "return self.avg_pool(x)",
        setup="self.avg_pool = nn.AvgPool2d(kernel_size, stride, padding)",
    )
    sheet.torch("functional", sizes + "return F.avg_pool2d(x, k, s, p)")
    sheet.torch(
        "separable",
        sizes + "x = F.avg_pool2d(x, (k, 1), (s, 1), (p, 0))\nreturn F.avg_pool2d(x, (1, k), (1, s), (0, p))",
    )
    sheet.torch(
        "columns_first",
        sizes + "x = F.avg_pool2d(x, (1, k), (1, s), (0, p))\nreturn F.avg_pool2d(x, (k, 1), (s, 1), (p, 0))",
    )
    sheet.torch("unfold", windows + "return x.mean((4, 5))", cpu="plain")
    sheet.torch("unfold_two_means", windows + "return x.mean(4).mean(4)", cpu="plain")
    sheet.torch(
        "slices",
        padded + lengths + "return sum(x[:, :, i:i + m:s, j:j + n:s] for i in range(k) for j in range(k)) / (k * k)",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "separable_slices",
        padded
        + lengths
        + "x = sum(x[:, :, i:i + m:s] for i in range(k))\nreturn sum(x[..., i:i + n:s] for i in range(k)) / (k * k)",
    )
    sheet.torch(
        "integral",
        sizes + "x = F.pad(x, (p + 1, p, p + 1, p)).double().cumsum(2).cumsum(3)\nx = x[:, :, k:] - x[:, :, :-k]\n"
        "x = x[..., k:] - x[..., :-k]\nreturn (x[:, :, ::s, ::s] / (k * k)).float()",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "convolution",
        sizes
        + "w = x.new_full((1, 1, k, k), 1 / (k * k))\ny = F.conv2d(x.flatten(0, 1)[:, None], w, stride=s, padding=p)\n"
        "return y.view(*x.shape[:2], *y.shape[2:])",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "adaptive",
        "k = self.sizes[0]\nm, n = x.shape[2] // k, x.shape[3] // k\nreturn F.adaptive_avg_pool2d(x[:, :, :m * k, :n * k], (m, n))",
    )
    sheet.torch("maximum", sizes + "return F.max_pool2d(x, k, s, p)", correct=False)
    sheet.torch("sum", sizes + "return F.avg_pool2d(x, k, s, p, divisor_override=1)", correct=False)
    sheet.torch("one_axis", padded + lengths + "return F.avg_pool2d(x[:, :, :m], (1, k), s)", correct=False)
    _compiled_2d(sheet, False)
    return sheet.templates


def templates() -> list[Template]:
    return [*_max_1d(), *_max_2d(), *_mean_1d(), *_mean_2d()]
