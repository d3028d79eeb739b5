"""A row divided by what it sums to: softmax (23), log-softmax (24), L1 norm (38), and RMS norm over channels (36)."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_kernelbench.tiny_policy.corpus.base import Pace, Sheet, Template

FORWARD = "n, m = x.shape\ny = torch.empty_like(x)\nkernel(x, y, n, m)\nreturn y"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """y = result(v, s), where s is ``finish`` of the row's sum of ``term(v)``; one expression for C and CUDA."""

    task: int
    term: str
    finish: str
    result: str
    triton_term: str
    triton_finish: str
    triton_result: str
    shifted: bool
    fast: tuple[str, ...] = ()

    @property
    def headers(self) -> str:
        return "#include <math.h>\n"

    def pace(self, strategy: str) -> Pace:
        return "fast" if strategy.startswith(self.fast) else "plain"

    def fill(self, text: str) -> str:
        """C and CUDA texts with this row's expressions."""
        return text.replace("TERM", self.term).replace("FINISH", self.finish).replace("RESULT", self.result)

    def fill_triton(self, text: str) -> str:
        text = text.replace("TERM", self.triton_term).replace("RESULT", self.triton_result)
        return text.replace("FINISH", self.triton_finish)


SOFTMAX = Row(
    task=23,
    term="expf(v)",
    finish="1 / s",
    result="expf(v) * s",
    triton_term="tl.exp(v)",
    triton_finish="1 / s",
    triton_result="tl.exp(v) * s",
    shifted=True,
    fast=("triton/", "cuda/"),
)
LOG_SOFTMAX = Row(
    task=24,
    term="expf(v)",
    finish="logf(s)",
    result="v - s",
    triton_term="tl.exp(v)",
    triton_finish="tl.log(s)",
    triton_result="v - s",
    shifted=True,
    fast=("triton/", "cuda/"),
)
L1_NORM = Row(
    task=38,
    term="fabsf(v)",
    finish="m / s",
    result="v * s",
    triton_term="tl.abs(v)",
    triton_finish="m / s",
    triton_result="v * s",
    shifted=False,
    fast=("c/omp_simd", "c/fast_math", "triton/wide"),
)

ROWS_C = """
void kernel(const float *x, float *y, long n, long m) {
    for (long i = 0; i < n; i++) {
        float s = 0;
        for (long j = i * m; j < i * m + m; j++) {
            float v = x[j];
            s += TERM;
        }
        s = FINISH;
        for (long j = i * m; j < i * m + m; j++) {
            float v = x[j];
            y[j] = RESULT;
        }
    }
}
"""
OUTER = "    for (long i = 0;"
INNER = "        for (long j = i"
INNER_OMP_C = """
void kernel(const float *x, float *y, long n, long m) {
    for (long i = 0; i < n; i++) {
        float s = 0;
        #pragma omp parallel for reduction(+:s)
        for (long j = i * m; j < i * m + m; j++) {
            float v = x[j];
            s += TERM;
        }
        s = FINISH;
        #pragma omp parallel for
        for (long j = i * m; j < i * m + m; j++) {
            float v = x[j];
            y[j] = RESULT;
        }
    }
}
"""
SHIFTED_C = """
#pragma GCC optimize("fast-math")
#include <math.h>
void kernel(const float *x, float *y, long n, long m) {
    #pragma omp parallel for
    for (long i = 0; i < n; i++) {
        float t = x[i * m], s = 0;
        #pragma omp simd reduction(max:t)
        for (long j = i * m; j < i * m + m; j++) {
            t = x[j] > t ? x[j] : t;
        }
        #pragma omp simd reduction(+:s)
        for (long j = i * m; j < i * m + m; j++) {
            float v = x[j] - t;
            s += TERM;
        }
        s = FINISH;
        #pragma omp simd
        for (long j = i * m; j < i * m + m; j++) {
            float v = x[j] - t;
            y[j] = RESULT;
        }
    }
}
"""

LOOP_TRITON = """
def kernel(x, y, m, BLOCK: tl.constexpr):
    x += tl.program_id(0).to(tl.int64) * m
    y += tl.program_id(0).to(tl.int64) * m
    a = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, m, BLOCK):
        j = i + tl.arange(0, BLOCK)
        v = tl.load(x + j, mask=j < m)
        a += tl.where(j < m, TERM, 0.0)
    s = tl.sum(a)
    s = FINISH
    for i in range(0, m, BLOCK):
        j = i + tl.arange(0, BLOCK)
        v = tl.load(x + j, mask=j < m)
        tl.store(y + j, RESULT, mask=j < m)
"""
ONLINE_TRITON = """
def kernel(x, y, m, BLOCK: tl.constexpr):
    x += tl.program_id(0).to(tl.int64) * m
    y += tl.program_id(0).to(tl.int64) * m
    t = tl.full((BLOCK,), -1e30, tl.float32)
    a = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, m, BLOCK):
        j = i + tl.arange(0, BLOCK)
        v = tl.load(x + j, mask=j < m, other=-1e30)
        u = tl.maximum(t, v)
        a = a * tl.exp(t - u) + tl.exp(v - u)
        t = u
    u = tl.max(t)
    s = tl.sum(a * tl.exp(t - u))
    s = FINISH
    for i in range(0, m, BLOCK):
        j = i + tl.arange(0, BLOCK)
        v = tl.load(x + j, mask=j < m) - u
        tl.store(y + j, RESULT, mask=j < m)
"""
LOOP_TRITON_FORWARD = (
    "n, m = x.shape\ny = torch.empty_like(x)\nkernel[(n,)](x, y, m, BLOCK=$block, num_warps=$warps)\nreturn y"
)

BLOCK_CUDA = """
__global__ void device_kernel(const float *x, float *y, long m) {
    __shared__ float total;
    total = 0;
    __syncthreads();
    x += blockIdx.x * m;
    y += blockIdx.x * m;
    float s = 0;
    for (long j = threadIdx.x; j < m; j += $block) {
        float v = x[j];
        s += TERM;
    }
    atomicAdd(&total, s);
    __syncthreads();
    s = total;
    s = FINISH;
    for (long j = threadIdx.x; j < m; j += $block) {
        float v = x[j];
        y[j] = RESULT;
    }
}

extern "C" void kernel(const float *x, float *y, long n, long m, cudaStream_t stream) {
    device_kernel<<<n, $block, 0, stream>>>(x, y, m);
}
"""
TREE_CUDA = """
__global__ void device_kernel(const float *x, float *y, long m) {
    __shared__ float a[$block];
    x += blockIdx.x * m;
    y += blockIdx.x * m;
    float s = 0;
    for (long j = threadIdx.x; j < m; j += $block) {
        float v = x[j];
        s += TERM;
    }
    a[threadIdx.x] = s;
    for (int k = $block / 2; k > 0; k /= 2) {
        __syncthreads();
        if (threadIdx.x < k) a[threadIdx.x] += a[threadIdx.x + k];
    }
    __syncthreads();
    s = a[0];
    s = FINISH;
    for (long j = threadIdx.x; j < m; j += $block) {
        float v = x[j];
        y[j] = RESULT;
    }
}

extern "C" void kernel(const float *x, float *y, long n, long m, cudaStream_t stream) {
    device_kernel<<<n, $block, 0, stream>>>(x, y, m);
}
"""
WARP_CUDA = """
__global__ void device_kernel(const float *x, float *y, long n, long m) {
    long i = blockIdx.x * 4L + threadIdx.x / 32;
    if (i >= n) return;
    x += i * m;
    y += i * m;
    float s = 0;
    for (long j = threadIdx.x % 32; j < m; j += 32) {
        float v = x[j];
        s += TERM;
    }
    for (int k = 16; k > 0; k /= 2) s += __shfl_xor_sync(0xffffffff, s, k);
    s = FINISH;
    for (long j = threadIdx.x % 32; j < m; j += 32) {
        float v = x[j];
        y[j] = RESULT;
    }
}

extern "C" void kernel(const float *x, float *y, long n, long m, cudaStream_t stream) {
    device_kernel<<<(n + 3) / 4, 128, 0, stream>>>(x, y, n, m);
}
"""
FLOAT4_CUDA = """
__device__ float f(float v) { return TERM; }
__device__ float g(float v, float s) { return RESULT; }

__global__ void device_kernel(const float4 *x, float4 *y, long m) {
    __shared__ float total;
    total = 0;
    __syncthreads();
    x += blockIdx.x * m;
    y += blockIdx.x * m;
    float s = 0;
    for (long j = threadIdx.x; j < m; j += $block) {
        float4 v = x[j];
        s += f(v.x) + f(v.y) + f(v.z) + f(v.w);
    }
    atomicAdd(&total, s);
    __syncthreads();
    s = total;
    s = FINISH;
    for (long j = threadIdx.x; j < m; j += $block) {
        float4 v = x[j];
        y[j] = make_float4(g(v.x, s), g(v.y, s), g(v.z, s), g(v.w, s));
    }
}

extern "C" void kernel(const float4 *x, float4 *y, long n, long m, cudaStream_t stream) {
    device_kernel<<<n, $block, 0, stream>>>(x, y, m / 4);
}
"""


def templates() -> list[Template]:
    return _softmax() + _log_softmax() + _l1_norm() + _rms_norm()


def _softmax() -> list[Template]:
    sheet = Sheet(23)
    sheet.torch("softmax", "return torch.softmax(x, dim=1)")
    sheet.torch(
        "shifted_exp",
        "y = torch.exp(x - x.max(dim=1, keepdim=True).values)\nreturn y / y.sum(dim=1, keepdim=True)",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "shifted_inplace",
        "y = (x - x.amax(dim=1, keepdim=True)).exp_()\nreturn y.div_(y.sum(dim=1, keepdim=True))",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch("exp_log_softmax", "return torch.log_softmax(x, dim=1).exp_()", cpu="slow", cuda="slow")
    sheet.torch("logsumexp", "return torch.exp(x - torch.logsumexp(x, dim=1, keepdim=True))", cpu="slow", cuda="slow")
    sheet.torch("rows", "return torch.stack([torch.softmax(a, dim=0) for a in x])", cpu="slow", cuda="slow")
    sheet.torch("normalize", "return F.normalize(torch.exp(x), p=1, dim=1)", cpu="slow", cuda="slow")
    sheet.torch("wrong_log", "return torch.log_softmax(x, dim=1)", correct=False)
    sheet.torch("wrong_no_sum", "return torch.exp(x - x.amax(dim=1, keepdim=True))", correct=False)
    sheet.torch("wrong_mean", "y = torch.exp(x)\nreturn y / y.mean(dim=1, keepdim=True)", correct=False)
    _row_kernels(sheet, SOFTMAX)
    return sheet.templates


def _log_softmax() -> list[Template]:
    sheet = Sheet(24)
    sheet.torch("log_softmax", "return torch.log_softmax(x, dim=1)")
    sheet.torch("log_of_softmax", "return torch.log(torch.softmax(x, dim=1))", cpu="slow", cuda="slow")
    sheet.torch("log_inplace", "return torch.softmax(x, dim=1).log_()", cpu="slow", cuda="slow")
    sheet.torch("logsumexp", "return x - torch.logsumexp(x, dim=1, keepdim=True)", cpu="slow", cuda="slow")
    sheet.torch(
        "shifted",
        "y = x - x.amax(dim=1, keepdim=True)\nreturn y - torch.log(torch.exp(y).sum(dim=1, keepdim=True))",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch("unshifted", "return x - torch.log(torch.exp(x).sum(dim=1, keepdim=True))", cpu="slow", cuda="slow")
    sheet.torch("rows", "return torch.stack([torch.log_softmax(a, dim=0) for a in x])", cpu="slow", cuda="slow")
    sheet.torch("wrong_softmax", "return torch.softmax(x, dim=1)", correct=False)
    sheet.torch("wrong_axis", "return torch.log_softmax(x, dim=0)", correct=False)
    sheet.torch("wrong_mean", "return x - torch.log(torch.exp(x).mean(dim=1, keepdim=True))", correct=False)
    _row_kernels(sheet, LOG_SOFTMAX)
    return sheet.templates


def _l1_norm() -> list[Template]:
    sheet = Sheet(38)
    sheet.torch("mean_abs", "return x / torch.mean(torch.abs(x), dim=1, keepdim=True)")
    sheet.torch(
        "vector_norm",
        "s = torch.linalg.vector_norm(x, ord=1, dim=1, keepdim=True)\nreturn x * (x.shape[1] / s)",
        cpu="slow",
        cuda="fast",
    )
    sheet.torch("normalize", "return F.normalize(x, p=1, dim=1) * x.shape[1]")
    sheet.torch("inplace", "y = torch.abs(x)\nreturn torch.div(x, y.mean(dim=1, keepdim=True), out=y)")
    sheet.torch("sign", "return x / torch.mean(x * torch.sign(x), dim=1, keepdim=True)", cpu="slow", cuda="slow")
    sheet.torch("rows", "return torch.stack([a / a.abs().mean() for a in x])")
    sheet.torch("matmul", "s = torch.abs(x) @ torch.ones_like(x[0])\nreturn x * (x.shape[1] / s)[:, None]")
    sheet.torch("wrong_axis", "return x / torch.mean(torch.abs(x), dim=0, keepdim=True)", correct=False)
    sheet.torch("wrong_sum", "return x / torch.sum(torch.abs(x), dim=1, keepdim=True)", correct=False)
    sheet.torch("wrong_keepdim", "return x / torch.mean(torch.abs(x), dim=1)", correct=False)
    _row_kernels(sheet, L1_NORM)
    return sheet.templates


def _row_kernels(sheet: Sheet, row: Row) -> None:
    headers = row.headers
    serial = row.fill(ROWS_C)
    omp = serial.replace(OUTER, "    #pragma omp parallel for\n" + OUTER)
    unfinished = f"        s = {row.finish};\n"
    sheet.c("serial", headers + serial.lstrip(), FORWARD, pace="plain")
    sheet.c("omp", headers + omp.lstrip(), FORWARD, pace=row.pace("c/omp"))
    sheet.c("inner_omp", headers + row.fill(INNER_OMP_C).lstrip(), FORWARD, pace="plain")
    simd = omp.replace(INNER, "        #pragma omp simd reduction(+:s)\n" + INNER, 1)
    if row.shifted:
        sheet.c("shifted", row.fill(SHIFTED_C), FORWARD)
    else:
        sheet.c("omp_simd", headers + simd.lstrip(), FORWARD, pace=row.pace("c/omp_simd"))
    pragma = '#pragma GCC optimize("fast-math")\n'
    head, second, tail = simd.rpartition(INNER)
    simd = f"{head}        #pragma omp simd\n{second}{tail}"
    sheet.c("fast_math", pragma + headers + simd.lstrip(), FORWARD, pace=row.pace("c/fast_math"))
    sheet.c("wrong_no_finish", headers + omp.replace(unfinished, "").lstrip(), FORWARD, correct=False)

    loop = row.fill_triton(LOOP_TRITON)
    sheet.triton("loop", loop, LOOP_TRITON_FORWARD, pace=row.pace("triton/loop"), block=(1024, 2048), warps=(4, 8))
    sheet.triton(
        "wide_loop",
        loop,
        LOOP_TRITON_FORWARD,
        pace=row.pace("triton/wide"),
        block=(8192, 16384),
        warps=(16, 32),
    )
    sheet.triton(
        "wrong_no_finish",
        loop.replace(f"    s = {row.triton_finish}\n", ""),
        LOOP_TRITON_FORWARD,
        correct=False,
        block=(1024, 2048),
        warps=(4, 8),
    )
    if row.shifted:
        online = row.fill_triton(ONLINE_TRITON)
        sheet.triton(
            "online",
            online,
            LOOP_TRITON_FORWARD,
            pace=row.pace("triton/online"),
            block=(4096, 8192),
            warps=(8, 16),
        )

    for strategy, text in (("block", BLOCK_CUDA), ("tree", TREE_CUDA)):
        sheet.cuda(strategy, row.fill(text), FORWARD, pace=row.pace(f"cuda/{strategy}"), block=(256, 512, 1024))
    sheet.cuda("warp", row.fill(WARP_CUDA), FORWARD, pace="plain")
    if row.shifted:
        sheet.cuda("float4", row.fill(FLOAT4_CUDA), FORWARD, pace=row.pace("cuda/float4"), block=(256, 512, 1024))
    wrong = row.fill(BLOCK_CUDA).replace(f"    s = {row.finish};\n", "")
    sheet.cuda("wrong_no_finish", wrong, FORWARD, correct=False, block=(256, 512, 1024))


def _rms_norm() -> list[Template]:
    sheet = Sheet(36, init="num_features")
    sheet.torch("composed", "return x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + 1e-5)")
    sheet.torch("rsqrt", "return x * torch.rsqrt(torch.mean(x * x, dim=1, keepdim=True) + 1e-5)")
    sheet.torch(
        "vector_norm",
        "s = torch.linalg.vector_norm(x, dim=1, keepdim=True)\nreturn x / torch.sqrt(s * s / x.shape[1] + 1e-5)",
        cpu="slow",
        cuda="fast",
    )
    sheet.torch(
        "rms_norm",
        "y = x.movedim(1, -1)\nreturn F.rms_norm(y, y.shape[-1:], eps=1e-5).movedim(-1, 1)",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "inplace",
        "y = x * x\ns = y.mean(dim=1, keepdim=True).add_(1e-5).rsqrt_()\nreturn torch.mul(x, s, out=y)",
    )
    sheet.torch(
        "samples",
        "return torch.stack([a * torch.rsqrt((a * a).mean(dim=0) + 1e-5) for a in x])",
    )
    sheet.torch(
        "channels",
        "s = torch.zeros_like(x[:, 0])\nfor i in range(x.shape[1]):\n    s.addcmul_(x[:, i], x[:, i])\n"
        "return x * torch.rsqrt(s / x.shape[1] + 1e-5)[:, None]",
        cpu="fast",
    )
    sheet.torch("wrong_axis", "return x / torch.sqrt(torch.mean(x**2, dim=-1, keepdim=True) + 1e-5)", correct=False)
    sheet.torch("wrong_sum", "return x / torch.sqrt(torch.sum(x**2, dim=1, keepdim=True) + 1e-5)", correct=False)
    sheet.torch("wrong_no_root", "return x / (torch.mean(x**2, dim=1, keepdim=True) + 1e-5)", correct=False)

    shape = "n, m, k = x.shape[0], x.shape[1], x[0, 0].numel()\ny = torch.empty_like(x)\n"
    forward = shape + "kernel(x, y, n, m, k)\nreturn y"
    pixels = """
    #include <math.h>
    void kernel(const float *x, float *y, long n, long m, long k) {
        for (long i = 0; i < n * k; i++) {
            long t = i / k * m * k + i % k;
            float s = 0;
            for (long j = 0; j < m; j++) {
                s += x[t + j * k] * x[t + j * k];
            }
            s = 1 / sqrtf(s / m + 1e-5f);
            for (long j = 0; j < m; j++) {
                y[t + j * k] = x[t + j * k] * s;
            }
        }
    }
    """
    parallel = pixels.replace("        for (long i", "        #pragma omp parallel for\n        for (long i")
    sheet.c("pixels", pixels, forward, pace="slow")
    sheet.c("omp_pixels", parallel, forward, pace="slow")
    sheet.c("wrong_sum", parallel.replace("s / m", "s"), forward, correct=False)
    sheet.c("wrong_no_root", parallel.replace("sqrtf(s / m + 1e-5f)", "(s / m + 1e-5f)"), forward, correct=False)
    blocks = """
    #include <math.h>
    void kernel(const float *x, float *y, long n, long m, long k) {
        #pragma omp parallel for
        for (long i = 0; i < n * k; i += $block) {
            long t = i / k * m * k + i % k;
            float s[$block] = {0};
            for (long j = 0; j < m; j++) {
                for (int l = 0; l < $block; l++) {
                    s[l] += x[t + j * k + l] * x[t + j * k + l];
                }
            }
            for (int l = 0; l < $block; l++) {
                s[l] = 1 / sqrtf(s[l] / m + 1e-5f);
            }
            for (long j = 0; j < m; j++) {
                for (int l = 0; l < $block; l++) {
                    y[t + j * k + l] = x[t + j * k + l] * s[l];
                }
            }
        }
    }
    """
    sheet.c("omp_blocks", blocks, forward, pace="fast", block=(64, 128, 256))
    sheet.c(
        "blocks",
        blocks.replace("        #pragma omp parallel for\n", ""),
        forward,
        pace="plain",
        block=(64, 128),
    )

    grid = shape + "kernel[(n * k // $block,)](x, y, m, k, BLOCK=$block, num_warps=$warps)\nreturn y"
    channel_loop = """
    def kernel(x, y, m, k, BLOCK: tl.constexpr):
        i = tl.program_id(0).to(tl.int64) * BLOCK
        j = i // k * m * k + i % k + tl.arange(0, BLOCK)
        s = tl.zeros((BLOCK,), tl.float32)
        for c in range(m):
            v = tl.load(x + j + c * k)
            s += v * v
        s = tl.rsqrt(s / m + 1e-5)
        for c in range(m):
            tl.store(y + j + c * k, tl.load(x + j + c * k) * s)
    """
    sheet.triton("channel_loop", channel_loop, grid, pace="fast", block=(128, 256), warps=(2, 4))
    sheet.triton("wrong_sum", channel_loop.replace("s / m", "s"), grid, correct=False, block=(128, 256), warps=(2, 4))
    sheet.triton(
        "tile",
        """
        def kernel(x, y, m, k, BLOCK: tl.constexpr):
            i = tl.program_id(0).to(tl.int64) * BLOCK
            j = i // k * m * k + i % k + tl.arange(0, BLOCK)[None, :] + tl.arange(0, 64)[:, None] * k
            v = tl.load(x + j)
            s = tl.rsqrt(tl.sum(v * v, axis=0) / m + 1e-5)
            tl.store(y + j, v * s[None, :])
        """,
        grid,
        pace="fast",
        block=(64, 128),
        warps=(4, 8),
    )
    pixel_cuda = """
    __global__ void device_kernel(const float *x, float *y, long n, long m, long k) {
        long i = blockIdx.x * ${block}L + threadIdx.x;
        if (i >= n * k) return;
        long t = i / k * m * k + i % k;
        float s = 0;
        for (long j = 0; j < m; j++) {
            s += x[t + j * k] * x[t + j * k];
        }
        s = rsqrtf(s / m + 1e-5f);
        for (long j = 0; j < m; j++) {
            y[t + j * k] = x[t + j * k] * s;
        }
    }

    extern "C" void kernel(const float *x, float *y, long n, long m, long k, cudaStream_t stream) {
        device_kernel<<<(n * k + $block - 1) / $block, $block, 0, stream>>>(x, y, n, m, k);
    }
    """
    sheet.cuda("pixel", pixel_cuda, forward, pace="fast", block=(128, 256, 512))
    sheet.cuda("wrong_sum", pixel_cuda.replace("s / m", "s"), forward, correct=False, block=(128, 256, 512))
    sheet.cuda(
        "wrong_no_root",
        pixel_cuda.replace("rsqrtf(s / m + 1e-5f)", "1 / (s / m + 1e-5f)"),
        forward,
        correct=False,
        block=(128, 256),
    )
    sheet.cuda(
        "registers",
        """
        __global__ void device_kernel(const float *x, float *y, long n, long k) {
            long i = blockIdx.x * ${block}L + threadIdx.x;
            if (i >= n * k) return;
            long t = i / k * 64 * k + i % k;
            float v[64], s = 0;
            #pragma unroll
            for (int j = 0; j < 64; j++) {
                v[j] = x[t + j * k];
                s += v[j] * v[j];
            }
            s = rsqrtf(s / 64 + 1e-5f);
            #pragma unroll
            for (int j = 0; j < 64; j++) {
                y[t + j * k] = v[j] * s;
            }
        }

        extern "C" void kernel(const float *x, float *y, long n, long m, long k, cudaStream_t stream) {
            device_kernel<<<(n * k + $block - 1) / $block, $block, 0, stream>>>(x, y, n, k);
        }
        """,
        forward,
        pace="fast",
        block=(128, 256),
    )
    sheet.cuda(
        "warp",
        """
        __global__ void device_kernel(const float *x, float *y, long n, long m, long k) {
            long i = blockIdx.x * 4L + threadIdx.x / 32;
            if (i >= n * k) return;
            x += i / k * m * k + i % k;
            y += i / k * m * k + i % k;
            float s = 0;
            for (long j = threadIdx.x % 32; j < m; j += 32) s += x[j * k] * x[j * k];
            for (int l = 16; l > 0; l /= 2) s += __shfl_xor_sync(0xffffffff, s, l);
            s = rsqrtf(s / m + 1e-5f);
            for (long j = threadIdx.x % 32; j < m; j += 32) y[j * k] = x[j * k] * s;
        }

        extern "C" void kernel(const float *x, float *y, long n, long m, long k, cudaStream_t stream) {
            device_kernel<<<(n * k + 3) / 4, 128, 0, stream>>>(x, y, n, m, k);
        }
        """,
        forward,
        pace="slow",
    )
    return sheet.templates
