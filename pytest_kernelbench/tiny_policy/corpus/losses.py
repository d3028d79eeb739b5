"""One number from two arrays: MSE (94), cross-entropy (95), smooth L1 (96), KL divergence (98)."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_kernelbench.tiny_policy.corpus.base import Pace, Sheet, Template

ARGUMENTS = "predictions, targets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The sum of ``term`` over all elements, divided by ``divisor`` (``n`` elements or ``b`` rows).

    In C and CUDA, ``a`` and ``b`` are the elements of predictions and targets; ``prepare`` may name a value.
    """

    task: int
    prepare: str
    term: str
    wrong_term: str
    triton: str
    wrong_triton: str
    by_rows: bool = False
    fast: tuple[str, ...] = ("c/omp", "c/fast_math", "triton/", "cuda/")

    def pace(self, strategy: str) -> Pace:
        return "fast" if strategy.startswith(self.fast) else "plain"

    def fill(self, text: str) -> str:
        divisor = "l" if self.by_rows else "n"
        text = text.replace("PREPARE", self.prepare).replace("TERM", self.term).replace("DIVISOR", divisor)
        return text.replace("LENGTHS", "long n, long l" if self.by_rows else "long n").replace(
            "SIZES", "n, l" if self.by_rows else "n"
        )

    def fill_triton(self, text: str) -> str:
        text = text.replace("TERM", self.triton).replace("DIVISOR", "l" if self.by_rows else "n")
        return text.replace("SIZES", "n, l" if self.by_rows else "n")

    @property
    def sizes(self) -> str:
        return "n, len(predictions)" if self.by_rows else "n"


MSE = Loss(
    task=94,
    prepare="float d = x[i] - t[i];",
    term="d * d",
    wrong_term="d",
    triton="(a - b) * (a - b)",
    wrong_triton="tl.abs(a - b)",
)
HUBER = Loss(
    task=96,
    fast=("c/omp_blocks", "c/fast_math", "triton/", "cuda/"),
    prepare="float d = fabsf(x[i] - t[i]);",
    term="(d < 1 ? 0.5f * d * d : d - 0.5f)",
    wrong_term="(d < 1 ? d * d : d - 0.5f)",
    triton="tl.where(tl.abs(a - b) < 1, 0.5 * (a - b) * (a - b), tl.abs(a - b) - 0.5)",
    wrong_triton="tl.where(tl.abs(a - b) < 1, (a - b) * (a - b), tl.abs(a - b) - 0.5)",
)
KL = Loss(
    task=98,
    prepare="float d = t[i] / x[i];",
    term="t[i] * logf(d)",
    wrong_term="x[i] * logf(d)",
    triton="b * tl.log(b / a)",
    wrong_triton="b * tl.log(a / b)",
    by_rows=True,
)

C = """
#include <math.h>
void kernel(const float *x, const float *t, float *y, LENGTHS) {
    double s = 0;
    for (long i = 0; i < n; i++) {
        PREPARE
        s += TERM;
    }
    y[0] = s / DIVISOR;
}
"""
BLOCKS_C = """
#include <math.h>
void kernel(const float *x, const float *t, float *y, LENGTHS) {
    double s = 0;
    #pragma omp parallel for reduction(+:s)
    for (long j = 0; j < n; j += $block) {
        float c = 0;
        #pragma omp simd reduction(+:c)
        for (long i = j; i < (j + $block < n ? j + $block : n); i++) {
            PREPARE
            c += TERM;
        }
        s += c;
    }
    y[0] = s / DIVISOR;
}
"""

PARTIALS_TRITON = """
def kernel(x, t, y, n, BLOCK: tl.constexpr):
    s = tl.zeros((BLOCK,), tl.float32)
    for j in range(tl.program_id(0) * BLOCK, n, tl.num_programs(0) * BLOCK):
        i = j + tl.arange(0, BLOCK)
        a = tl.load(x + i, mask=i < n, other=1.0)
        b = tl.load(t + i, mask=i < n, other=1.0)
        s += TERM
    tl.store(y + tl.program_id(0), tl.sum(s))
"""
ATOMIC_TRITON = """
def kernel(x, t, y, SIZES, BLOCK: tl.constexpr):
    s = tl.zeros((BLOCK,), tl.float32)
    for j in range(tl.program_id(0) * BLOCK, n, tl.num_programs(0) * BLOCK):
        i = j + tl.arange(0, BLOCK)
        a = tl.load(x + i, mask=i < n, other=1.0)
        b = tl.load(t + i, mask=i < n, other=1.0)
        s += TERM
    tl.atomic_add(y, tl.sum(s) / DIVISOR)
"""
BLOCK_TRITON = """
def kernel(x, t, y, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    a = tl.load(x + i, mask=i < n, other=1.0)
    b = tl.load(t + i, mask=i < n, other=1.0)
    tl.store(y + tl.program_id(0), tl.sum(TERM))
"""

ATOMIC_CUDA = """
__global__ void device_kernel(const float *x, const float *t, float *y, LENGTHS) {
    float s = 0;
    for (long i = blockIdx.x * 256L + threadIdx.x; i < n; i += gridDim.x * 256L) {
        PREPARE
        s += TERM;
    }
    for (int k = 16; k > 0; k /= 2) s += __shfl_xor_sync(0xffffffff, s, k);
    if (threadIdx.x % 32 == 0) atomicAdd(y, s / DIVISOR);
}

extern "C" void kernel(const float *x, const float *t, float *y, LENGTHS, cudaStream_t stream) {
    device_kernel<<<$grid, 256, 0, stream>>>(x, t, y, SIZES);
}
"""
PARTIALS_CUDA = """
__global__ void device_kernel(const float *x, const float *t, float *y, long n) {
    float s = 0;
    for (long i = blockIdx.x * 256L + threadIdx.x; i < n; i += $grid * 256L) {
        PREPARE
        s += TERM;
    }
    y[blockIdx.x * 256 + threadIdx.x] = s;
}

extern "C" void kernel(const float *x, const float *t, float *y, long n, cudaStream_t stream) {
    device_kernel<<<$grid, 256, 0, stream>>>(x, t, y, n);
}
"""
THREAD_CUDA = """
__global__ void device_kernel(const float *x, const float *t, float *y, long n) {
    __shared__ float total;
    total = 0;
    __syncthreads();
    for (long i = blockIdx.x * $chunkL + threadIdx.x; i < n && i < (blockIdx.x + 1) * $chunkL; i += 256) {
        PREPARE
        atomicAdd(&total, TERM);
    }
    __syncthreads();
    y[blockIdx.x] = total;
}

extern "C" void kernel(const float *x, const float *t, float *y, long n, cudaStream_t stream) {
    device_kernel<<<(n + $chunk - 1) / $chunk, 256, 0, stream>>>(x, t, y, n);
}
""".replace("$chunkL", "${chunk}L")


def templates() -> list[Template]:
    return _mse() + _cross_entropy() + _huber() + _kl()


def _mse() -> list[Template]:
    sheet = Sheet(94, arguments=ARGUMENTS)
    sheet.torch("square_mean", "return torch.mean((predictions - targets) ** 2)")
    sheet.torch("mse_loss", "return F.mse_loss(predictions, targets)", cuda="fast")
    sheet.torch(
        "dot",
        "d = (predictions - targets).flatten()\nreturn torch.dot(d, d) / d.numel()",
        cpu="fast",
        cuda="fast",
    )
    sheet.torch(
        "norm",
        "return torch.linalg.vector_norm(predictions - targets) ** 2 / targets.numel()",
        cpu="fast",
        cuda="fast",
    )
    sheet.torch("dist", "return torch.dist(predictions, targets) ** 2 / targets.numel()", cpu="fast", cuda="fast")
    sheet.torch("inplace", "return (predictions - targets).square_().mean()")
    sheet.torch(
        "expanded",
        "return (predictions**2 - 2 * predictions * targets + targets**2).mean()",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "rows",
        "return torch.stack([F.mse_loss(a, b) for a, b in zip(predictions, targets)]).mean()",
        cuda="slow",
    )
    sheet.torch("wrong_sum", "return torch.sum((predictions - targets) ** 2)", correct=False)
    sheet.torch("wrong_abs", "return torch.mean(torch.abs(predictions - targets))", correct=False)
    sheet.torch("wrong_rows", "return torch.mean((predictions - targets) ** 2, dim=1)", correct=False)
    _kernels(sheet, MSE)
    return sheet.templates


def _huber() -> list[Template]:
    sheet = Sheet(96, arguments=ARGUMENTS)
    sheet.torch("smooth_l1_loss", "return F.smooth_l1_loss(predictions, targets)")
    sheet.torch("huber_loss", "return F.huber_loss(predictions, targets)")
    sheet.torch(
        "where",
        "d = torch.abs(predictions - targets)\nreturn torch.where(d < 1, 0.5 * d * d, d - 0.5).mean()",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "clamp",
        "d = torch.abs(predictions - targets)\na = d.clamp(max=1)\nreturn (a * (d - 0.5 * a)).mean()",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "inplace",
        "d = (predictions - targets).abs_()\na = d.clamp(max=1)\nreturn d.sub_(a, alpha=0.5).mul_(a).mean()",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch("unreduced", 'return F.smooth_l1_loss(predictions, targets, reduction="none").mean()')
    sheet.torch(
        "rows",
        "return torch.stack([F.smooth_l1_loss(a, b) for a, b in zip(predictions, targets)]).mean()",
        cuda="slow",
    )
    sheet.torch("wrong_mse", "return F.mse_loss(predictions, targets)", correct=False)
    sheet.torch("wrong_sum", 'return F.smooth_l1_loss(predictions, targets, reduction="sum")', correct=False)
    sheet.torch("wrong_beta", "return F.smooth_l1_loss(predictions, targets, beta=0.5)", correct=False)
    _kernels(sheet, HUBER)
    return sheet.templates


def _kl() -> list[Template]:
    sheet = Sheet(98, arguments=ARGUMENTS)
    sheet.torch("kl_div", 'return F.kl_div(torch.log(predictions), targets, reduction="batchmean")')
    sheet.torch(
        "two_logs",
        "y = targets * (torch.log(targets) - torch.log(predictions))\nreturn y.sum() / len(targets)",
        cpu="fast",
        cuda="slow",
    )
    sheet.torch("ratio", "return (targets * torch.log(targets / predictions)).sum() / len(targets)", cpu="fast")
    sheet.torch(
        "ratio_inplace",
        "return (targets / predictions).log_().mul_(targets).sum() / len(targets)",
        cpu="fast",
    )
    sheet.torch(
        "dot",
        "y = (targets / predictions).log_()\nreturn torch.dot(targets.flatten(), y.flatten()) / len(targets)",
        cpu="fast",
        cuda="fast",
    )
    sheet.torch("xlogy", "return torch.xlogy(targets, targets / predictions).sum() / len(targets)", cuda="fast")
    sheet.torch(
        "rows",
        "y = [(b * torch.log(b / a)).sum() for a, b in zip(predictions, targets)]\nreturn torch.stack(y).mean()",
        cpu="plain",
        cuda="slow",
    )
    sheet.torch("wrong_mean", "return (targets * torch.log(targets / predictions)).mean()", correct=False)
    sheet.torch("wrong_no_log", 'return F.kl_div(predictions, targets, reduction="batchmean")', correct=False)
    sheet.torch("wrong_sum", 'return F.kl_div(torch.log(predictions), targets, reduction="sum")', correct=False)
    _kernels(sheet, KL)
    return sheet.templates


def _kernels(sheet: Sheet, loss: Loss) -> None:
    zero = "n = predictions.numel()\ny = predictions.new_zeros(())\n"
    forward = zero + f"kernel(predictions, targets, y, {loss.sizes})\nreturn y"
    serial = loss.fill(C)
    if "f(" not in serial:
        serial = serial.replace("#include <math.h>\n", "")
    outer = "    for (long i"
    omp = serial.replace(outer, "    #pragma omp parallel for reduction(+:s)\n" + outer)
    pragma = '#pragma GCC optimize("fast-math")\n'
    simd = omp.replace("parallel for", "parallel for simd").lstrip()
    blocks = loss.fill(BLOCKS_C)
    if "f(" not in blocks:
        blocks = blocks.replace("#include <math.h>\n", "")
    sheet.c("serial", serial, forward)
    sheet.c("omp", omp, forward, pace=loss.pace("c/omp"))
    sheet.c("fast_math", pragma + simd, forward, pace=loss.pace("c/fast_math"))
    sheet.c("omp_blocks", blocks, forward, pace=loss.pace("c/omp_blocks"), block=(1024, 4096))
    sheet.c("wrong_term", omp.replace(loss.term, loss.wrong_term), forward, correct=False)
    sheet.c(
        "wrong_divisor",
        omp.replace("y[0] = s / ", "y[0] = s; //").split(" //")[0] + "\n}",
        forward,
        correct=False,
    )

    rest = "kernel[($grid,)](predictions, targets, y, SIZES, BLOCK=$block, num_warps=8)\n"
    atomic = zero + rest.replace("SIZES", loss.sizes) + "return y"
    choices = {"grid": (1056, 2112), "block": (1024, 2048)}
    sheet.triton("atomic", loss.fill_triton(ATOMIC_TRITON), atomic, pace=loss.pace("triton/atomic"), **choices)
    divisor = "len(predictions)" if loss.by_rows else "n"
    partials = (
        "n = predictions.numel()\ny = predictions.new_empty($grid)\n"
        + rest.replace("SIZES", "n")
        + f"return y.sum() / {divisor}"
    )
    text = loss.fill_triton(PARTIALS_TRITON)
    sheet.triton("partials", text, partials, pace=loss.pace("triton/partials"), **choices)
    sheet.triton("wrong_term", text.replace(loss.triton, loss.wrong_triton), partials, correct=False, **choices)
    per_block = (
        "n = predictions.numel()\ng = triton.cdiv(n, $block)\ny = predictions.new_empty(g)\n"
        f"kernel[(g,)](predictions, targets, y, n, BLOCK=$block, num_warps=8)\nreturn y.sum() / {divisor}"
    )
    sheet.triton(
        "blocks",
        loss.fill_triton(BLOCK_TRITON),
        per_block,
        pace=loss.pace("triton/blocks"),
        block=(2048, 4096, 8192),
    )

    sheet.cuda("atomic", loss.fill(ATOMIC_CUDA), forward, pace=loss.pace("cuda/atomic"), grid=(1056, 2112))
    partials = (
        "n = predictions.numel()\ny = predictions.new_empty($grid, 256)\n"
        f"kernel(predictions, targets, y, n)\nreturn y.sum() / {divisor}"
    )
    text = loss.fill(PARTIALS_CUDA)
    sheet.cuda("partials", text, partials, pace=loss.pace("cuda/partials"), grid=(1056, 2112))
    sheet.cuda("wrong_term", text.replace(loss.term, loss.wrong_term), partials, correct=False, grid=(1056, 2112))
    shared = (
        "n = predictions.numel()\ny = predictions.new_empty((n + $chunk - 1) // $chunk)\n"
        f"kernel(predictions, targets, y, n)\nreturn y.sum() / {divisor}"
    )
    sheet.cuda("shared_atomic", loss.fill(THREAD_CUDA), shared, pace="plain", chunk=(2048, 8192))
    wrong = loss.fill(ATOMIC_CUDA).replace(
        "    for (int k = 16; k > 0; k /= 2) s += __shfl_xor_sync(0xffffffff, s, k);\n", ""
    )
    sheet.cuda("wrong_no_shuffle", wrong, forward, correct=False, grid=(1056, 2112))


def _cross_entropy() -> list[Template]:
    sheet = Sheet(95, arguments=ARGUMENTS)
    sheet.torch("cross_entropy", "return F.cross_entropy(predictions, targets)")
    sheet.torch("nll_loss", "return F.nll_loss(torch.log_softmax(predictions, dim=1), targets)")
    sheet.torch(
        "logsumexp",
        "y = predictions.gather(1, targets[:, None])[:, 0]\nreturn (torch.logsumexp(predictions, dim=1) - y).mean()",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "unshifted",
        "y = predictions.gather(1, targets[:, None])[:, 0]\n"
        "return (torch.log(torch.exp(predictions).sum(dim=1)) - y).mean()",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch("gather", "return -torch.log_softmax(predictions, dim=1).gather(1, targets[:, None]).mean()")
    sheet.torch(
        "one_hot",
        "y = F.one_hot(targets, predictions.shape[1])\n"
        "return -(y * torch.log_softmax(predictions, dim=1)).sum(dim=1).mean()",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "softmax",
        "y = torch.softmax(predictions, dim=1).gather(1, targets[:, None])\nreturn -torch.log(y).mean()",
    )
    sheet.torch(
        "rows",
        "y = [torch.logsumexp(a, dim=0) - a[b] for a, b in zip(predictions, targets)]\nreturn torch.stack(y).mean()",
        cpu="slow",
        cuda=None,
    )
    sheet.torch("wrong_sum", 'return F.cross_entropy(predictions, targets, reduction="sum")', correct=False)
    sheet.torch("wrong_no_log", "return F.nll_loss(torch.softmax(predictions, dim=1), targets)", correct=False)
    sheet.torch("wrong_twice", "return F.cross_entropy(torch.softmax(predictions, dim=1), targets)", correct=False)

    forward = "n, m = predictions.shape\ny = predictions.new_zeros(())\nkernel(predictions, targets, y, n, m)\nreturn y"
    serial = """
    #include <math.h>
    void kernel(const float *x, const long *t, float *y, long n, long m) {
        double s = 0;
        for (long i = 0; i < n; i++) {
            float c = 0;
            for (long j = 0; j < m; j++) {
                c += expf(x[i * m + j]);
            }
            s += logf(c) - x[i * m + t[i]];
        }
        y[0] = s / n;
    }
    """
    outer, inner = "        for (long i", "            for (long j"
    omp = serial.replace(outer, "        #pragma omp parallel for reduction(+:s)\n" + outer)
    fast = '\n    #pragma GCC optimize("fast-math")' + omp.replace(
        inner, "            #pragma omp simd reduction(+:c)\n" + inner
    )
    shifted = fast.replace(
        "            float c = 0;\n",
        "            float c = 0, u = x[i * m];\n"
        "            #pragma omp simd reduction(max:u)\n"
        "            for (long j = 0; j < m; j++) {\n"
        "                u = x[i * m + j] > u ? x[i * m + j] : u;\n"
        "            }\n",
    )
    shifted = shifted.replace("expf(x[i * m + j])", "expf(x[i * m + j] - u)").replace("logf(c) -", "u + logf(c) -")
    sheet.c("serial", serial, forward, pace="slow")
    sheet.c("omp", omp, forward, pace="slow")
    sheet.c("fast_math", fast, forward, pace="fast")
    sheet.c("shifted", shifted, forward, pace="fast")
    sheet.c("wrong_no_mean", omp.replace("s / n", "s"), forward, correct=False)
    sheet.c("wrong_no_log", omp.replace("logf(c)", "c"), forward, correct=False)

    launch = (
        "n, m = predictions.shape\ny = predictions.new_empty(n)\n"
        "kernel[(n,)](predictions, targets, y, m, BLOCK=$block, num_warps=$warps)\nreturn y.mean()"
    )
    row_launch = launch.replace("$block", "triton.next_power_of_2(m)")
    row = """
    def kernel(x, t, y, m, BLOCK: tl.constexpr):
        i = tl.program_id(0)
        j = tl.arange(0, BLOCK)
        v = tl.load(x + i * m + j, mask=j < m, other=-1e30)
        u = tl.max(v)
        s = u + tl.log(tl.sum(tl.exp(v - u)))
        tl.store(y + i, s - tl.load(x + i * m + tl.load(t + i)))
    """
    sheet.triton("row", row, row_launch, pace="fast", warps=(4, 8, 16))
    sheet.triton(
        "wrong_no_log",
        row.replace("tl.log(tl.sum(tl.exp(v - u)))", "tl.sum(tl.exp(v - u))"),
        row_launch,
        correct=False,
        warps=(4, 8),
    )
    sheet.triton(
        "row_unshifted",
        """
        def kernel(x, t, y, m, BLOCK: tl.constexpr):
            i = tl.program_id(0)
            j = tl.arange(0, BLOCK)
            v = tl.load(x + i * m + j, mask=j < m, other=-1e30)
            s = tl.log(tl.sum(tl.exp(v)))
            tl.store(y + i, s - tl.load(x + i * m + tl.load(t + i)))
        """,
        row_launch,
        pace="fast",
        warps=(4, 8, 16),
    )
    sheet.triton(
        "loop",
        """
        def kernel(x, t, y, m, BLOCK: tl.constexpr):
            i = tl.program_id(0)
            s = tl.zeros((BLOCK,), tl.float32)
            for k in range(0, m, BLOCK):
                j = k + tl.arange(0, BLOCK)
                s += tl.exp(tl.load(x + i * m + j, mask=j < m, other=-1e30))
            tl.store(y + i, tl.log(tl.sum(s)) - tl.load(x + i * m + tl.load(t + i)))
        """,
        launch,
        pace="fast",
        block=(512, 1024),
        warps=(2, 4),
    )
    rows = (
        "n, m = predictions.shape\ny = predictions.new_empty(n)\nkernel(predictions, targets, y, n, m)\nreturn y.mean()"
    )
    warp = """
    __global__ void device_kernel(const float *x, const long *t, float *y, long n, long m) {
        long i = blockIdx.x * 4L + threadIdx.x / 32;
        if (i >= n) return;
        float s = 0;
        for (long j = threadIdx.x % 32; j < m; j += 32) s += expf(x[i * m + j]);
        for (int k = 16; k > 0; k /= 2) s += __shfl_xor_sync(0xffffffff, s, k);
        y[i] = logf(s) - x[i * m + t[i]];
    }

    extern "C" void kernel(const float *x, const long *t, float *y, long n, long m, cudaStream_t stream) {
        device_kernel<<<(n + 3) / 4, 128, 0, stream>>>(x, t, y, n, m);
    }
    """
    sheet.cuda("warp", warp, rows, pace="fast")
    sheet.cuda("wrong_no_log", warp.replace("logf(s)", "s"), rows, correct=False)
    sheet.cuda(
        "wrong_no_shuffle",
        warp.replace("        for (int k = 16; k > 0; k /= 2) s += __shfl_xor_sync(0xffffffff, s, k);\n", ""),
        rows,
        correct=False,
    )
    sheet.cuda(
        "block",
        """
        __global__ void device_kernel(const float *x, const long *t, float *y, long m) {
            __shared__ float total;
            total = 0;
            __syncthreads();
            long i = blockIdx.x;
            float s = 0;
            for (long j = threadIdx.x; j < m; j += $block) s += expf(x[i * m + j]);
            atomicAdd(&total, s);
            __syncthreads();
            y[i] = logf(total) - x[i * m + t[i]];
        }

        extern "C" void kernel(const float *x, const long *t, float *y, long n, long m, cudaStream_t stream) {
            device_kernel<<<n, $block, 0, stream>>>(x, t, y, m);
        }
        """,
        rows,
        pace="fast",
        block=(128, 256, 512),
    )
    sheet.cuda(
        "row",
        """
        __global__ void device_kernel(const float *x, const long *t, float *y, long n, long m) {
            long i = blockIdx.x * ${block}L + threadIdx.x;
            if (i >= n) return;
            float s = 0;
            for (long j = 0; j < m; j++) s += expf(x[i * m + j]);
            y[i] = logf(s) - x[i * m + t[i]];
        }

        extern "C" void kernel(const float *x, const long *t, float *y, long n, long m, cudaStream_t stream) {
            device_kernel<<<(n + $block - 1) / $block, $block, 0, stream>>>(x, t, y, n, m);
        }
        """,
        rows,
        pace="slow",
        block=(32, 64, 128),
    )
    return sheet.templates
