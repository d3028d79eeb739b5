"""Running sums (89), products (90), exclusive sums (92) and masked sums (93) along the rows of (n, m)."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_kernelbench.tiny_policy.corpus.base import Pace, Sheet, Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """``s`` starts at ``start`` and becomes ``s operator v`` for each value; ``exclusive`` writes it before that."""

    task: int
    start: str
    operator: str
    exclusive: bool = False
    masked: bool = False
    omp: Pace = "fast"

    @property
    def arguments(self) -> str:
        return "x, mask" if self.masked else "x"

    def fill(self, text: str) -> str:
        """A C or CUDA text for this scan: ``LOAD(index)``, ``START``, ``OP``, ``ARGUMENTS``, ``STEP``."""
        step = ("y[j] = s;", "s = s OP LOAD(j);")
        text = text.replace("STEP1", step[0] if self.exclusive else step[1])
        text = text.replace("STEP2", step[1] if self.exclusive else step[0])
        parameters = "const float *x, const char *w" if self.masked else "const float *x"
        text = text.replace("PARAMETERS", parameters).replace("ARGUMENTS", "x, w" if self.masked else "x")
        for index in ("j + r * m", "i * m + j", "j"):
            text = text.replace(f"LOAD({index})", f"x[{index}] * w[{index}]" if self.masked else f"x[{index}]")
        text = text.replace("LESS(v)", "v - a" if self.exclusive else "v")
        return text.replace("START", self.start).replace("OP", self.operator)

    def fill_triton(self, text: str) -> str:
        load = f"tl.load(x + i + j, mask=j < m, other={self.start}.0)"
        if self.masked:
            load = f"tl.where(tl.load(w + i + j, mask=j < m, other=0), {load}, 0.0)"
        text = text.replace("PARAMETERS", "x, w" if self.masked else "x").replace("LOAD", load)
        text = text.replace("SCAN", "tl.cumprod" if self.operator == "*" else "tl.cumsum")
        text = text.replace("LESS(c)", "c - v" if self.exclusive else "c")
        return text.replace("START", f"{self.start}.0").replace("OP", self.operator)


SUM = Scan(task=89, start="0", operator="+")
PRODUCT = Scan(task=90, start="1", operator="*", omp="plain")
EXCLUSIVE = Scan(task=92, start="0", operator="+", exclusive=True)
MASKED = Scan(task=93, start="0", operator="+", masked=True)

ROWS_C = """
void kernel(PARAMETERS, float *y, long n, long m) {
    for (long i = 0; i < n; i++) {
        float s = START;
        for (long j = i * m; j < i * m + m; j++) {
            STEP1
            STEP2
        }
    }
}
"""
INTERLEAVED_C = """
void kernel(PARAMETERS, float *y, long n, long m) {
    #pragma omp parallel for
    for (long i = 0; i < n; i += $rows) {
        float s[$rows];
        for (int r = 0; r < $rows; r++) {
            s[r] = START;
        }
        for (long j = i * m; j < i * m + m; j++) {
            for (int r = 0; r < $rows && i + r < n; r++) {
                FIRST
                SECOND
            }
        }
    }
}
"""

LOOP_TRITON = """
def kernel(PARAMETERS, y, m, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * m
    s = START
    for t in range(0, m, BLOCK):
        j = t + tl.arange(0, BLOCK)
        v = LOAD
        c = s OP SCAN(v, axis=0)
        tl.store(y + i + j, LESS(c), mask=j < m)
        s = tl.sum(tl.where(j == t + BLOCK - 1, c, 0.0))
"""
ROW_TRITON = """
def kernel(PARAMETERS, y, m, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * m
    j = tl.arange(0, BLOCK)
    v = LOAD
    c = SCAN(v, axis=0)
    tl.store(y + i + j, LESS(c), mask=j < m)
"""

ROW_CUDA = """
__global__ void device_kernel(PARAMETERS, float *y, long n, long m) {
    long i = blockIdx.x * ${block}L + threadIdx.x;
    if (i >= n) return;
    float s = START;
    for (long j = i * m; j < i * m + m; j++) {
        STEP1
        STEP2
    }
}

extern "C" void kernel(PARAMETERS, float *y, long n, long m, cudaStream_t stream) {
    device_kernel<<<(n + $block - 1) / $block, $block, 0, stream>>>(ARGUMENTS, y, n, m);
}
"""
WARP_CUDA = """
__global__ void device_kernel(PARAMETERS, float *y, long n, long m) {
    long i = blockIdx.x * 4L + threadIdx.x / 32;
    if (i >= n) return;
    float s = START;
    for (long j = threadIdx.x % 32; j < (m + 31) / 32 * 32; j += 32) {
        float a = START;
        if (j < m) a = LOAD(i * m + j);
        float v = a;
        for (int k = 1; k < 32; k *= 2) {
            float u = __shfl_up_sync(0xffffffff, v, k);
            if (threadIdx.x % 32 >= k) v = v OP u;
        }
        v = s OP v;
        if (j < m) y[i * m + j] = LESS(v);
        s = __shfl_sync(0xffffffff, v, 31);
    }
}

extern "C" void kernel(PARAMETERS, float *y, long n, long m, cudaStream_t stream) {
    device_kernel<<<(n + 3) / 4, 128, 0, stream>>>(ARGUMENTS, y, n, m);
}
"""
CHUNKS_CUDA = """
__global__ void device_kernel(PARAMETERS, float *y, long m) {
    __shared__ float b[$block];
    long k = (m + $block - 1) / $block, l = blockIdx.x * m + threadIdx.x * k;
    long h = l + k < blockIdx.x * m + m ? l + k : blockIdx.x * m + m;
    float s = START;
    for (long j = l; j < h; j++) s = s OP LOAD(j);
    b[threadIdx.x] = s;
    __syncthreads();
    s = START;
    for (int t = 0; t < threadIdx.x; t++) s = s OP b[t];
    for (long j = l; j < h; j++) {
        STEP1
        STEP2
    }
}

extern "C" void kernel(PARAMETERS, float *y, long n, long m, cudaStream_t stream) {
    device_kernel<<<n, $block, 0, stream>>>(ARGUMENTS, y, m);
}
"""


def templates() -> list[Template]:
    return _sum() + _product() + _exclusive() + _masked()


def _sum() -> list[Template]:
    sheet = Sheet(89, init="dim")
    sheet.torch("cumsum", "return torch.cumsum(x, dim=1)")
    sheet.torch("inplace", "y = x.clone()\nreturn y.cumsum_(dim=1)", cpu="slow", cuda="slow")
    sheet.torch("double", "return torch.cumsum(x.double(), dim=1).float()", cpu="slow", cuda="slow")
    sheet.torch("transposed", "return torch.cumsum(x.T.contiguous(), dim=0).T", cpu="slow", cuda="slow")
    sheet.torch(
        "blocked",
        "y = x.view(len(x), -1, 128).cumsum(dim=2)\ns = y[:, :, -1:]\nreturn (y + (s.cumsum(dim=1) - s)).view_as(x)",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "doubling",
        "k = 1\nwhile k < x.shape[1]:\n"
        "    x = torch.cat([x[:, :k], x[:, k:] + x[:, :-k]], dim=1)\n    k *= 2\nreturn x",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch("rows", "return torch.stack([torch.cumsum(a, dim=0) for a in x])", cpu="plain", cuda="slow")
    sheet.torch("matmul", "return x @ torch.triu(x.new_ones(x.shape[1], x.shape[1]))", cpu="slow", cuda="slow")
    sheet.torch("wrong_axis", "return torch.cumsum(x, dim=0)", correct=False)
    sheet.torch("wrong_exclusive", "return torch.cumsum(x, dim=1) - x", correct=False)
    _kernels(sheet, SUM)
    return sheet.templates


def _product() -> list[Template]:
    sheet = Sheet(90, init="dim")
    sheet.torch("cumprod", "return torch.cumprod(x, dim=1)")
    sheet.torch("inplace", "y = x.clone()\nreturn y.cumprod_(dim=1)", cpu="slow", cuda="slow")
    sheet.torch("double", "return torch.cumprod(x.double(), dim=1).float()", cpu="slow", cuda="slow")
    sheet.torch("transposed", "return torch.cumprod(x.T.contiguous(), dim=0).T", cpu="slow", cuda="slow")
    sheet.torch(
        "blocked",
        "y = x.view(len(x), -1, 128).cumprod(dim=2)\ns = y[:, :-1, -1:].cumprod(dim=1)\n"
        "y[:, 1:] *= s\nreturn y.view_as(x)",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "doubling",
        "k = 1\nwhile k < x.shape[1]:\n"
        "    x = torch.cat([x[:, :k], x[:, k:] * x[:, :-k]], dim=1)\n    k *= 2\nreturn x",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch("rows", "return torch.stack([torch.cumprod(a, dim=0) for a in x])", cpu="plain", cuda="slow")
    sheet.torch("wrong_sum", "return torch.cumsum(x, dim=1)", correct=False)
    sheet.torch("wrong_axis", "return torch.cumprod(x, dim=0)", correct=False)
    _kernels(sheet, PRODUCT)
    return sheet.templates


def _exclusive() -> list[Template]:
    sheet = Sheet(92, init="dim")
    sheet.torch("cat", "y = torch.cumsum(x[:, :-1], dim=1)\nreturn torch.cat([torch.zeros_like(x[:, :1]), y], dim=1)")
    sheet.torch("pad", "return F.pad(torch.cumsum(x[:, :-1], dim=1), (1, 0))")
    sheet.torch("minus", "return torch.cumsum(x, dim=1) - x", cuda="fast")
    sheet.torch("minus_inplace", "return torch.cumsum(x, dim=1).sub_(x)", cpu="fast", cuda="fast")
    sheet.torch("roll", "y = torch.cumsum(x, dim=1).roll(1, 1)\ny[:, 0] = 0\nreturn y")
    sheet.torch("pad_first", "return torch.cumsum(F.pad(x[:, :-1], (1, 0)), dim=1)")
    sheet.torch("out", "y = torch.zeros_like(x)\ntorch.cumsum(x[:, :-1], dim=1, out=y[:, 1:])\nreturn y")
    sheet.torch("wrong_inclusive", "return torch.cumsum(x, dim=1)", correct=False)
    sheet.torch("wrong_roll", "return torch.cumsum(x, dim=1).roll(1, 1)", correct=False)
    sheet.torch("wrong_shape", "return torch.cumsum(x[:, :-1], dim=1)", correct=False)
    _kernels(sheet, EXCLUSIVE)
    return sheet.templates


def _masked() -> list[Template]:
    sheet = Sheet(93, arguments="x, mask", init="dim")
    sheet.torch("mul", "return torch.cumsum(x * mask, dim=1)")
    sheet.torch("inplace", "y = x * mask\nreturn y.cumsum_(dim=1)")
    sheet.torch("where", "return torch.cumsum(torch.where(mask, x, 0.0), dim=1)")
    sheet.torch("masked_fill", "return torch.cumsum(x.masked_fill(~mask, 0.0), dim=1)")
    sheet.torch("float_mask", "return torch.cumsum(x * mask.float(), dim=1)", cpu="slow", cuda="slow")
    sheet.torch(
        "rows",
        "return torch.stack([torch.cumsum(a * b, dim=0) for a, b in zip(x, mask)])",
        cpu="plain",
        cuda="slow",
    )
    sheet.torch("index", "y = x.clone()\ny[~mask] = 0\nreturn y.cumsum_(dim=1)", cpu="slow", cuda="slow")
    sheet.torch("wrong_no_mask", "return torch.cumsum(x, dim=1)", correct=False)
    sheet.torch("wrong_mask_after", "return torch.cumsum(x, dim=1) * mask", correct=False)
    sheet.torch("wrong_inverted", "return torch.cumsum(x * ~mask, dim=1)", correct=False)
    _kernels(sheet, MASKED)
    return sheet.templates


def _kernels(sheet: Sheet, scan: Scan) -> None:
    forward = f"n, m = x.shape\ny = torch.empty_like(x)\nkernel({scan.arguments}, y, n, m)\nreturn y"
    outer = "    for (long i"
    serial = scan.fill(ROWS_C)
    omp = serial.replace(outer, "    #pragma omp parallel for\n" + outer)
    steps = ["s[r] = s[r] OP LOAD(j + r * m);", "y[j + r * m] = s[r];"]
    first, second = reversed(steps) if scan.exclusive else steps
    interleaved = scan.fill(INTERLEAVED_C.replace("FIRST", first).replace("SECOND", second))
    sheet.c("serial", serial, forward)
    sheet.c("omp", omp, forward, pace=scan.omp)
    sheet.c(
        "omp_dynamic",
        omp.replace("parallel for", "parallel for schedule(dynamic, $chunk)"),
        forward,
        pace=scan.omp,
        chunk=(8, 32),
    )
    sheet.c("omp_interleaved", interleaved, forward, pace="fast", rows=(4, 8, 16))
    sheet.c("wrong_start", _wrong_start(omp, scan), forward, correct=False)
    sheet.c("wrong_reset", _wrong_reset(serial, scan), forward, correct=False)

    call = f"kernel[(n,)]({scan.arguments}, y, m, BLOCK=$block, num_warps=$warps)"
    launch = f"n, m = x.shape\ny = torch.empty_like(x)\n{call}\nreturn y"
    loop = scan.fill_triton(LOOP_TRITON)
    sheet.triton("loop", loop, launch, pace="fast", block=(1024, 2048), warps=(4, 8))
    sheet.triton("wide_loop", loop, launch, pace="fast", block=(4096, 8192), warps=(8, 16))
    row_launch = launch.replace("BLOCK=$block", "BLOCK=triton.next_power_of_2(m)")
    sheet.triton("row", scan.fill_triton(ROW_TRITON), row_launch, pace="fast", warps=(16, 32))
    wrong = loop.replace("j == t + BLOCK - 1", "j == t")
    sheet.triton("wrong_carry", wrong, launch, correct=False, block=(1024, 2048), warps=(4, 8))

    sheet.cuda("row", scan.fill(ROW_CUDA), forward, pace="slow", block=(32, 64, 128))
    sheet.cuda("warp", scan.fill(WARP_CUDA), forward, pace="fast")
    sheet.cuda("chunks", scan.fill(CHUNKS_CUDA), forward, block=(256, 512))
    wrong = scan.fill(WARP_CUDA).replace("v, 31)", "v, 0)")
    sheet.cuda("wrong_carry", wrong, forward, correct=False)
    wrong = _wrong_start(scan.fill(ROW_CUDA), scan)
    sheet.cuda("wrong_start", wrong, forward, correct=False, block=(32, 64, 128))


def _wrong_start(text: str, scan: Scan) -> str:
    return text.replace(f"float s = {scan.start};", f"float s = {1 - int(scan.start)};")


def _wrong_reset(text: str, scan: Scan) -> str:
    start = f"        float s = {scan.start};\n"
    return text.replace(start, "").replace("    for (long i", f"    float s = {scan.start};\n    for (long i")
