"""One value in, one value out: activations (19-21, 25, 26, 28-32, 88), matrix times scalar (5) or diagonal (12)."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from pytest_kernelbench.tiny_policy.corpus.base import Pace, Sheet, Template

BLOCKS = (256, 512, 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A PyTorch expression and its pace on each target (None: not for that target)."""

    strategy: str
    forward: str
    cpu: Pace | None = "plain"
    cuda: Pace | None = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A scalar function, as expressions of ``v``, in every language; ``load`` makes ``v`` of ``x[i]``.

    ``fast`` are beginnings of the strategies (``c/omp``, ``triton/``) that are not ``plain``.
    """

    task: int
    init: str = ""
    c: str
    triton: str
    load: str = "{}"
    forms: tuple[Form, ...]
    wrong_forms: tuple[Form, ...]
    wrong_c: str
    wrong_triton: str
    fast: tuple[str, ...] = ()

    @property
    def headers(self) -> str:
        return "#include <math.h>\n" if re.search(r"\wf\(", self.c) else ""

    def pace(self, strategy: str) -> Pace:
        return "fast" if strategy.startswith(self.fast) else "plain"


def _form(strategy: str, forward: str, cpu: Pace | None = "plain", cuda: Pace | None = "plain") -> Form:
    return Form(strategy=strategy, forward=forward if "return" in forward else f"return {forward}", cpu=cpu, cuda=cuda)


OPERATIONS = (
    Operation(
        task=19,
        c="v > 0 ? v : 0",
        triton="tl.maximum(v, 0.0)",
        forms=(
            _form("relu", "torch.relu(x)"),
            _form("clamp", "x.clamp(min=0)"),
            _form("where", "torch.where(x > 0, x, 0.0)", cpu="slow", cuda="slow"),
            _form("mask", "x * (x > 0)", cpu="slow", cuda="slow"),
            _form("maximum", "torch.maximum(x, torch.zeros_like(x))", cpu="slow", cuda="slow"),
            _form("inplace", "y = x.clone()\nreturn y.relu_()", cpu="slow", cuda="slow"),
        ),
        wrong_forms=(_form("sign", "torch.relu(-x)"), _form("identity", "x.clone()")),
        wrong_c="v > 0 ? 0 : v",
        wrong_triton="tl.minimum(v, 0.0)",
    ),
    Operation(
        task=20,
        c="v > 0 ? v : 0.01f * v",
        triton="tl.where(v > 0, v, 0.01 * v)",
        forms=(
            _form("leaky_relu", "F.leaky_relu(x, 0.01)"),
            _form("maximum", "torch.maximum(x, 0.01 * x)", cpu="slow", cuda="slow"),
            _form("where", "torch.where(x > 0, x, 0.01 * x)", cpu="slow", cuda="slow"),
            _form("relu_lerp", "0.99 * torch.relu(x) + 0.01 * x", cpu="slow", cuda="slow"),
            _form("clamps", "x.clamp(min=0) + 0.01 * x.clamp(max=0)", cpu="slow", cuda="slow"),
        ),
        wrong_forms=(
            _form("slope", "F.leaky_relu(x, 0.1)"),
            _form("sign", "torch.where(x < 0, x, 0.01 * x)"),
        ),
        wrong_c="v < 0 ? v : 0.01f * v",
        wrong_triton="tl.where(v < 0, v, 0.01 * v)",
    ),
    Operation(
        task=21,
        c="1 / (1 + expf(-v))",
        triton="1 / (1 + tl.exp(-v))",
        forms=(
            _form("sigmoid", "torch.sigmoid(x)"),
            _form("exp", "1 / (1 + torch.exp(-x))", cpu="slow", cuda="slow"),
            _form("exp_inplace", "return torch.exp(-x).add_(1).reciprocal_()", cpu="slow", cuda="slow"),
            _form("tanh", "0.5 * torch.tanh(0.5 * x) + 0.5", cpu="slow", cuda="slow"),
        ),
        wrong_forms=(
            _form("sign", "1 / (1 + torch.exp(x))"),
            _form("tanh_scale", "torch.tanh(0.5 * x) + 0.5"),
        ),
        wrong_c="1 / (1 + expf(v))",
        wrong_triton="1 / (1 + tl.exp(v))",
    ),
    Operation(
        task=25,
        c="v / (1 + expf(-v))",
        triton="v / (1 + tl.exp(-v))",
        forms=(
            _form("sigmoid", "x * torch.sigmoid(x)"),
            _form("silu", "F.silu(x)", cpu="fast", cuda="fast"),
            _form("sigmoid_inplace", "return torch.sigmoid(x).mul_(x)", cpu="fast"),
            _form("exp", "x / (1 + torch.exp(-x))", cpu="slow", cuda="slow"),
            _form("tanh", "0.5 * x * (1 + torch.tanh(0.5 * x))", cpu="slow", cuda="slow"),
        ),
        wrong_forms=(_form("tanh_swish", "x * torch.tanh(x)"), _form("sign", "x * torch.sigmoid(-x)")),
        wrong_c="v / (1 + expf(v))",
        wrong_triton="v / (1 + tl.exp(v))",
        fast=("c/fast_math", "triton/", "cuda/"),
    ),
    Operation(
        task=26,
        c="0.5f * v * (1 + erff(v * 0.70710678f))",
        triton="0.5 * v * (1 + tl.erf(v * 0.70710678))",
        forms=(
            _form("gelu", "F.gelu(x)"),
            _form("erf", "0.5 * x * (1 + torch.erf(x * 0.70710678))", cpu="slow", cuda="slow"),
            _form(
                "erf_inplace",
                "return torch.erf(x * 0.70710678).add_(1).mul_(x).mul_(0.5)",
                cpu="slow",
                cuda="slow",
            ),
            _form("ndtr", "x * torch.special.ndtr(x)", cpu="slow", cuda="slow"),
        ),
        wrong_forms=(
            _form("no_root", "0.5 * x * (1 + torch.erf(x))"),
            _form("no_half", "x * (1 + torch.erf(x * 0.70710678))"),
        ),
        wrong_c="v * (1 + erff(v * 0.70710678f))",
        wrong_triton="0.5 * v * (1 + tl.erf(v))",
    ),
    Operation(
        task=28,
        load="{} / 6 + 0.5f",
        c="v < 0 ? 0 : v > 1 ? 1 : v",
        triton="tl.minimum(tl.maximum(v / 6 + 0.5, 0.0), 1.0)",
        forms=(
            _form("hardsigmoid", "F.hardsigmoid(x)"),
            _form("clamp", "torch.clamp(x / 6 + 0.5, 0, 1)", cpu="slow", cuda="slow"),
            _form("clamp_inplace", "return (x / 6).add_(0.5).clamp_(0, 1)", cpu="slow", cuda="slow"),
            _form("relu6", "F.relu6(x + 3) / 6", cpu="slow", cuda="slow"),
            _form("hardtanh", "F.hardtanh(x, -3, 3) / 6 + 0.5", cpu="slow", cuda="slow"),
        ),
        wrong_forms=(_form("slope", "torch.clamp(0.2 * x + 0.5, 0, 1)"), _form("shift", "F.relu6(x) / 6")),
        wrong_c="v < 0 ? 0 : v > 1 ? 1 : 1 - v",
        wrong_triton="tl.minimum(tl.maximum(v / 5 + 0.5, 0.0), 1.0)",
    ),
    Operation(
        task=29,
        c="v > 20 ? v : log1pf(expf(v))",
        triton="tl.where(v > 20, v, tl.log(1 + tl.exp(v)))",
        forms=(
            _form("softplus", "F.softplus(x)"),
            _form("log1p", "torch.log1p(torch.exp(x))", cpu="slow", cuda="slow"),
            _form("logaddexp", "torch.logaddexp(x, torch.zeros_like(x))", cpu="slow", cuda="slow"),
            _form("logsigmoid", "-F.logsigmoid(-x)", cpu="slow", cuda="slow"),
            _form("relu_log1p", "torch.relu(x) + torch.log1p(torch.exp(-x.abs()))", cpu="slow", cuda="slow"),
        ),
        wrong_forms=(
            _form("no_one", "torch.log(torch.exp(x))"),
            _form("log2", "torch.log2(1 + torch.exp(x))"),
        ),
        wrong_c="v > 20 ? v : log1pf(expf(-v))",
        wrong_triton="tl.where(v > 20, v, tl.log2(1 + tl.exp(v)))",
    ),
    Operation(
        task=30,
        c="v / (1 + fabsf(v))",
        triton="v / (1 + tl.abs(v))",
        forms=(
            _form("abs", "x / (1 + torch.abs(x))"),
            _form("softsign", "F.softsign(x)"),
            _form("reciprocal", "x * torch.reciprocal(1 + torch.abs(x))", cpu="slow", cuda="slow"),
            _form("inplace", "y = torch.abs(x).add_(1)\nreturn torch.div(x, y, out=y)", cpu="fast"),
            _form("sign", "torch.sign(x) * (1 - 1 / (1 + torch.abs(x)))", cpu="slow", cuda="slow"),
        ),
        wrong_forms=(_form("no_one", "x / torch.abs(x)"), _form("square", "x / (1 + x * x)")),
        wrong_c="v / (1 - fabsf(v))",
        wrong_triton="v / (2 + tl.abs(v))",
        fast=("c/", "triton/", "cuda/"),
    ),
    Operation(
        task=31,
        init="alpha",
        c="v > 0 ? v : expf(v) - 1",
        triton="tl.where(v > 0, v, tl.exp(v) - 1)",
        forms=(
            _form("elu", "F.elu(x)"),
            _form("where", "torch.where(x > 0, x, torch.exp(x) - 1)", cpu="slow", cuda="slow"),
            _form("expm1", "torch.where(x > 0, x, torch.expm1(x))", cpu="slow", cuda="slow"),
            _form("relu", "torch.relu(x) + torch.expm1(x.clamp(max=0))", cpu="slow", cuda="slow"),
        ),
        wrong_forms=(
            _form("sign", "torch.where(x < 0, x, torch.expm1(x))"),
            _form("no_one", "torch.where(x > 1, x, torch.exp(x))"),
        ),
        wrong_c="v < 0 ? v : expf(v) - 1",
        wrong_triton="tl.where(v < 0, v, tl.exp(v) - 1)",
    ),
    Operation(
        task=32,
        c="v < -1 ? -1 : v > 1 ? 1 : v",
        triton="tl.minimum(tl.maximum(v, -1.0), 1.0)",
        forms=(
            _form("hardtanh", "F.hardtanh(x)"),
            _form("clamp", "x.clamp(-1, 1)"),
            _form("clamps", "x.clamp(min=-1).clamp(max=1)", cpu="slow", cuda="slow"),
            _form("where", "torch.where(x > 1, 1.0, torch.where(x < -1, -1.0, x))", cpu="slow", cuda="slow"),
            _form("relu6", "return F.relu6(3 * x + 3) / 3 - 1", cpu="slow", cuda="slow"),
        ),
        wrong_forms=(_form("tanh", "torch.tanh(x)"), _form("bounds", "x.clamp(-0.5, 0.5)")),
        wrong_c="v < -1 ? -1 : v > 0.5f ? 0.5f : v",
        wrong_triton="tl.minimum(tl.maximum(v, 1.0), -1.0)",
    ),
    Operation(
        task=88,
        c="v / (1 + expf(-1.5957691f * (v + 0.044715f * v * v * v)))",
        triton="v / (1 + tl.exp(-1.5957691 * (v + 0.044715 * v * v * v)))",
        forms=(
            _form("composed", "0.5 * x * (1 + torch.tanh(0.79788456 * (x + 0.044715 * torch.pow(x, 3))))"),
            _form("gelu_tanh", 'F.gelu(x, approximate="tanh")', cpu="fast", cuda="fast"),
            _form(
                "sigmoid",
                "x * torch.sigmoid(1.5957691 * (x + 0.044715 * x * x * x))",
                cpu="fast",
            ),
            _form(
                "horner",
                "0.5 * x * (1 + torch.tanh(x * (0.79788456 + 0.03567741 * x * x)))",
                cpu="plain",
            ),
        ),
        wrong_forms=(
            _form("coefficient", "0.5 * x * (1 + torch.tanh(0.79788456 * (x + 0.44715 * x * x * x)))"),
            _form("square", "0.5 * x * (1 + torch.tanh(0.79788456 * (x + 0.044715 * x * x)))"),
        ),
        wrong_c="v / (1 + expf(-0.79788456f * (v + 0.044715f * v * v * v)))",
        wrong_triton="v / (1 + tl.exp(1.5957691 * (v + 0.044715 * v * v * v)))",
        fast=("c/", "triton/", "cuda/"),
    ),
)

C_FORWARD = "y = torch.empty_like(x)\nkernel(x, y, x.numel())\nreturn y"
TRITON_FORWARD = (
    "y = torch.empty_like(x)\nn = x.numel()\n"
    "kernel[(triton.cdiv(n, $block),)](x, y, n, BLOCK=$block, num_warps=$warps)\nreturn y"
)
TRITON_PERSISTENT_FORWARD = (
    "y = torch.empty_like(x)\nkernel[($grid,)](x, y, x.numel(), BLOCK=$block, num_warps=8)\nreturn y"
)


def templates() -> list[Template]:
    return [template for operation in OPERATIONS for template in _templates_of(operation)] + _scalar() + _diagonal()


def _templates_of(op: Operation) -> list[Template]:
    sheet = Sheet(op.task, init=op.init)
    for form in op.forms:
        sheet.torch(form.strategy, form.forward, cpu=form.cpu, cuda=form.cuda)
    for form in op.wrong_forms:
        sheet.torch(f"wrong_{form.strategy}", form.forward, correct=False)

    body = f"float v = {op.load.format('x[i]')};\ny[i] = {op.c};"
    for strategy, choices in C_STRATEGIES.items():
        sheet.c(strategy, _c(strategy, op.headers, body), C_FORWARD, pace=op.pace(f"c/{strategy}"), **choices)
    wrong_body = body.replace(op.c, op.wrong_c)
    sheet.c("wrong_expression", _c("omp", op.headers, wrong_body), C_FORWARD, correct=False)
    sheet.c("wrong_bound", _c("omp", op.headers, body).replace("i < n", "i < n - 1"), C_FORWARD, correct=False)

    for strategy, (source, forward, choices) in TRITON_STRATEGIES.items():
        sheet.triton(
            strategy,
            source.replace("EXPRESSION", op.triton),
            forward,
            pace=op.pace(f"triton/{strategy}"),
            **choices,
        )
    source, forward, choices = TRITON_STRATEGIES["block"]
    sheet.triton("wrong_expression", source.replace("EXPRESSION", op.wrong_triton), forward, correct=False, **choices)

    for strategy, (source, choices) in CUDA_STRATEGIES.items():
        sheet.cuda(strategy, _cuda(source, op, op.c), C_FORWARD, pace=op.pace(f"cuda/{strategy}"), **choices)
    source, choices = CUDA_STRATEGIES["naive"]
    sheet.cuda("wrong_expression", _cuda(source, op, op.wrong_c), C_FORWARD, correct=False, **choices)
    sheet.cuda(
        "wrong_bound",
        _cuda(source, op, op.c).replace("i < n", "i < n - 1"),
        C_FORWARD,
        correct=False,
        **choices,
    )
    return sheet.templates


C_STRATEGIES: dict[str, dict[str, tuple[int, ...]]] = {
    "serial": {},
    "omp": {},
    "omp_blocked": {"block": (4096, 16384)},
    "omp_dynamic": {"block": (16384, 65536)},
    "omp_interleaved": {"chunk": (16, 64)},
    "fast_math": {},
}


def _c(strategy: str, headers: str, body: str) -> str:
    loop = "for (long i = 0; i < n; i++) {\n" + _indented(body) + "\n}"
    if strategy == "omp":
        loop = "#pragma omp parallel for\n" + loop
    elif strategy == "fast_math":
        headers = '#pragma GCC optimize("fast-math")\n' + headers
        loop = "#pragma omp parallel for simd\n" + loop
    elif strategy == "omp_blocked":
        inner = "for (long i = j; i < n && i < j + $block; i++) {\n" + _indented(body) + "\n}"
        loop = "#pragma omp parallel for\nfor (long j = 0; j < n; j += $block) {\n" + _indented(inner) + "\n}"
    elif strategy == "omp_dynamic":
        loop = "#pragma omp parallel for schedule(dynamic, $block)\n" + loop
    elif strategy == "omp_interleaved":
        loop = "#pragma omp parallel for schedule(static, $chunk)\n" + loop
    return f"{headers}void kernel(const float *x, float *y, long n) {{\n{_indented(loop)}\n}}"


def _indented(text: str) -> str:
    return textwrap.indent(text, "    ")


def _cuda(source: str, op: Operation, expression: str) -> str:
    if op.load == "{}":
        source = source.replace("            v = LOAD(v);\n", "")
    source = re.sub(r"LOAD\((x\[i\]|v|__ldcs\(x \+ i\))\)", lambda match: op.load.format(match[1]), source)
    return source.replace("EXPRESSION", expression)


TRITON_STRATEGIES: dict[str, tuple[str, str, dict[str, tuple[int, ...]]]] = {
    "block": (
        """
        def kernel(x, y, n, BLOCK: tl.constexpr):
            i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            v = tl.load(x + i, mask=i < n)
            tl.store(y + i, EXPRESSION, mask=i < n)
        """,
        TRITON_FORWARD,
        {"block": (256, 512, 1024), "warps": (4, 8)},
    ),
    "wide": (
        """
        def kernel(x, y, n, BLOCK: tl.constexpr):
            i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            v = tl.load(x + i, mask=i < n)
            tl.store(y + i, EXPRESSION, mask=i < n)
        """,
        TRITON_FORWARD,
        {"block": (4096, 8192), "warps": (8, 16)},
    ),
    "persistent": (
        """
        def kernel(x, y, n, BLOCK: tl.constexpr):
            for j in range(tl.program_id(0) * BLOCK, n, tl.num_programs(0) * BLOCK):
                i = j + tl.arange(0, BLOCK)
                v = tl.load(x + i, mask=i < n)
                tl.store(y + i, EXPRESSION, mask=i < n)
        """,
        TRITON_PERSISTENT_FORWARD,
        {"grid": (528, 1056), "block": (2048, 4096)},
    ),
}

CUDA_STRATEGIES: dict[str, tuple[str, dict[str, tuple[int, ...]]]] = {
    "naive": (
        """
        __global__ void device_kernel(const float *x, float *y, long n) {
            long i = blockIdx.x * ${block}L + threadIdx.x;
            if (i < n) {
                float v = LOAD(x[i]);
                y[i] = EXPRESSION;
            }
        }

        extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
            device_kernel<<<(n + $block - 1) / $block, $block, 0, stream>>>(x, y, n);
        }
        """,
        {"block": BLOCKS},
    ),
    "grid_stride": (
        """
        __global__ void device_kernel(const float *x, float *y, long n) {
            for (long i = blockIdx.x * ${block}L + threadIdx.x; i < n; i += gridDim.x * ${block}L) {
                float v = LOAD(x[i]);
                y[i] = EXPRESSION;
            }
        }

        extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
            device_kernel<<<$grid, $block, 0, stream>>>(x, y, n);
        }
        """,
        {"grid": (1056, 4224), "block": (256, 512)},
    ),
    "float4": (
        """
        __device__ float f(float v) {
            v = LOAD(v);
            return EXPRESSION;
        }

        __global__ void device_kernel(const float4 *x, float4 *y, long n) {
            long i = blockIdx.x * ${block}L + threadIdx.x;
            if (i < n) {
                float4 v = x[i];
                y[i] = make_float4(f(v.x), f(v.y), f(v.z), f(v.w));
            }
        }

        extern "C" void kernel(const float4 *x, float4 *y, long n, cudaStream_t stream) {
            n = n / 4;
            device_kernel<<<(n + $block - 1) / $block, $block, 0, stream>>>(x, y, n);
        }
        """,
        {"block": BLOCKS},
    ),
    "unrolled": (
        """
        __global__ void device_kernel(const float *x, float *y, long n) {
            long i = blockIdx.x * ${block}L * $unroll + threadIdx.x;
            #pragma unroll
            for (int j = 0; j < $unroll; j++) {
                if (i < n) {
                    float v = LOAD(x[i]);
                    y[i] = EXPRESSION;
                }
                i += $block;
            }
        }

        extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
            device_kernel<<<(n + $block * $unroll - 1) / ($block * $unroll), $block, 0, stream>>>(x, y, n);
        }
        """,
        {"block": (256, 512), "unroll": (4, 8)},
    ),
    "streaming": (
        """
        __global__ void device_kernel(const float *x, float *y, long n) {
            long i = blockIdx.x * ${block}L + threadIdx.x;
            if (i < n) {
                float v = LOAD(__ldcs(x + i));
                __stcs(y + i, EXPRESSION);
            }
        }

        extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
            device_kernel<<<(n + $block - 1) / $block, $block, 0, stream>>>(x, y, n);
        }
        """,
        {"block": BLOCKS},
    ),
}


def _scalar() -> list[Template]:
    """Task 5: the kernels above with one argument more."""
    sheet = Sheet(5, arguments="A, s")
    sheet.torch("mul", "return A * s")
    sheet.torch("div", "return A / (1 / s)")
    sheet.torch("add_alpha", "return torch.add(A, A, alpha=s - 1)")
    sheet.torch("inplace", "y = A.clone()\nreturn y.mul_(s)", cpu="slow", cuda="slow")
    sheet.torch("full", "return A * torch.full_like(A, s)", cpu="slow", cuda="slow")
    sheet.torch("rows", "return torch.stack([a * s for a in A])", cpu="slow", cuda="slow")
    sheet.torch("wrong_add", "return A + s", correct=False)
    sheet.torch("wrong_div", "return A / s", correct=False)
    forward = C_FORWARD.replace("x.numel()", "s, A.numel()").replace("x", "A")
    for strategy, choices in C_STRATEGIES.items():
        if strategy != "fast_math":
            source = _scalar_argument(_c(strategy, "", "y[i] = x[i] * (float)s;"), "double")
            sheet.c(strategy, source, forward, **choices)
    source = _scalar_argument(_c("omp", "", "y[i] = x[i] + (float)s;"), "double")
    sheet.c("wrong_add", source, forward, correct=False)
    for strategy, (source, launch, choices) in TRITON_STRATEGIES.items():
        source = _scalar_argument(source.replace("EXPRESSION", "v * s"))
        launch = launch.replace("(x)", "(A)").replace("x.numel", "A.numel").replace("(x, y, ", "(A, y, s, ")
        sheet.triton(strategy, source, launch, **choices)
        if strategy == "block":
            sheet.triton("wrong_add", source.replace("v * s", "v + s"), launch, correct=False, **choices)
    for strategy, (source, choices) in CUDA_STRATEGIES.items():
        source = re.sub(r"LOAD\((.*)\);", r"\1;", source).replace("EXPRESSION", "v * s")
        source = re.sub(r" *__device__ float f.*?}\n\n", "", source, flags=re.DOTALL)
        source = re.sub(r"f\((v\..)\)", r"\1 * s", source)
        sheet.cuda(strategy, _scalar_argument(source, "double"), forward, **choices)
        if strategy == "naive":
            source = _scalar_argument(source.replace("v * s", "v / s"), "double")
            sheet.cuda("wrong_div", source, forward, correct=False, **choices)
    return sheet.templates


def _scalar_argument(source: str, host_type: str = "") -> str:
    if not host_type:
        return source.replace("x, y, n", "x, y, s, n")
    head, split, tail = source.rpartition("kernel(const")
    source = head.replace("long n", "float s, long n") + split + tail.replace("long n", f"{host_type} s, long n")
    return source.replace("(x, y, n)", "(x, y, s, n)")


def _diagonal() -> list[Template]:
    sheet = Sheet(12, arguments="A, B")
    sheet.torch("unsqueeze", "return A.unsqueeze(1) * B")
    sheet.torch("diag_matmul", "return torch.diag(A) @ B", cpu="slow", cuda="slow")
    sheet.torch("transposed", "return (B.T * A).T.contiguous()", cpu="slow", cuda="slow")
    sheet.torch("einsum", 'return torch.einsum("i,ij->ij", A, B)')
    sheet.torch("inplace", "y = B.clone()\nreturn y.mul_(A[:, None])", cpu="slow", cuda="slow")
    sheet.torch("expand", "return A[:, None].expand_as(B).contiguous() * B", cpu="slow", cuda="slow")
    sheet.torch("rows", "return torch.stack([a * b for a, b in zip(A, B)])", cpu="slow", cuda="slow")
    sheet.torch("wrong_columns", "return A * B", correct=False)
    sheet.torch("wrong_transposed", "return (A[:, None] * B).T.contiguous()", correct=False)
    forward = "n, m = B.shape\ny = torch.empty_like(B)\nkernel(A, B, y, n, m)\nreturn y"
    c = """
        void kernel(const float *a, const float *x, float *y, long n, long m) {
            PRAGMA
            for (long i = 0; i < n; i++) {
                for (long j = 0; j < m; j++) {
                    y[i * m + j] = a[i] * x[i * m + j];
                }
            }
        }
        """
    parallel = c.replace("PRAGMA", "#pragma omp parallel for")
    sheet.c("serial", c.replace("            PRAGMA\n", ""), forward)
    sheet.c("omp", parallel, forward)
    sheet.c("omp_collapse", c.replace("PRAGMA", "#pragma omp parallel for collapse(2)"), forward, pace="slow")
    sheet.c(
        "columns",
        """
        void kernel(const float *a, const float *x, float *y, long n, long m) {
            #pragma omp parallel for
            for (long j = 0; j < m; j++) {
                for (long i = 0; i < n; i++) {
                    y[i * m + j] = a[i] * x[i * m + j];
                }
            }
        }
        """,
        forward,
        pace="slow",
    )
    sheet.c("wrong_index", parallel.replace("a[i]", "a[j < n ? j : 0]"), forward, correct=False)
    launch = "n, m = B.shape\ny = torch.empty_like(B)\n"
    sheet.triton(
        "row_blocks",
        """
        def kernel(a, x, y, m, BLOCK: tl.constexpr):
            i = tl.program_id(0)
            j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
            v = tl.load(x + i * m + j, mask=j < m)
            tl.store(y + i * m + j, tl.load(a + i) * v, mask=j < m)
        """,
        launch + "kernel[(n, triton.cdiv(m, $block))](A, B, y, m, BLOCK=$block, num_warps=$warps)\nreturn y",
        block=(512, 1024),
        warps=(4, 8),
    )
    sheet.triton(
        "flat",
        """
        def kernel(a, x, y, n, m, BLOCK: tl.constexpr):
            i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
            v = tl.load(x + i, mask=i < n * m)
            tl.store(y + i, tl.load(a + i // m, mask=i < n * m) * v, mask=i < n * m)
        """,
        launch + "kernel[(triton.cdiv(n * m, $block),)](A, B, y, n, m, BLOCK=$block, num_warps=$warps)\nreturn y",
        block=(512, 1024),
        warps=(4, 8),
    )
    sheet.triton(
        "row",
        """
        def kernel(a, x, y, m, BLOCK: tl.constexpr):
            i = tl.program_id(0)
            j = tl.arange(0, BLOCK)
            v = tl.load(x + i * m + j, mask=j < m)
            tl.store(y + i * m + j, tl.load(a + i) * v, mask=j < m)
        """,
        launch + "kernel[(n,)](A, B, y, m, BLOCK=triton.next_power_of_2(m), num_warps=$warps)\nreturn y",
        warps=(8, 16),
    )
    sheet.triton(
        "wrong_index",
        """
        def kernel(a, x, y, m, BLOCK: tl.constexpr):
            i = tl.program_id(0)
            j = tl.arange(0, BLOCK)
            v = tl.load(x + i * m + j, mask=j < m)
            tl.store(y + i * m + j, tl.load(a + j, mask=j < m) * v, mask=j < m)
        """,
        launch + "kernel[(n,)](A, B, y, m, BLOCK=triton.next_power_of_2(m), num_warps=$warps)\nreturn y",
        correct=False,
        warps=(8, 16),
    )
    flat = """
        __global__ void device_kernel(const float *a, const float *x, float *y, long n, long m) {
            long i = blockIdx.x * ${block}L + threadIdx.x;
            if (i < n * m) {
                y[i] = a[i / m] * x[i];
            }
        }

        extern "C" void kernel(const float *a, const float *x, float *y, long n, long m, cudaStream_t stream) {
            device_kernel<<<(n * m + $block - 1) / $block, $block, 0, stream>>>(a, x, y, n, m);
        }
        """
    sheet.cuda("flat", flat, forward, block=BLOCKS)
    sheet.cuda("wrong_index", flat.replace("a[i / m]", "a[i % n]"), forward, correct=False, block=BLOCKS)
    sheet.cuda(
        "row",
        """
        __global__ void device_kernel(const float *a, const float *x, float *y, long m) {
            long i = blockIdx.x;
            float s = a[i];
            for (long j = threadIdx.x; j < m; j += $block) {
                y[i * m + j] = s * x[i * m + j];
            }
        }

        extern "C" void kernel(const float *a, const float *x, float *y, long n, long m, cudaStream_t stream) {
            device_kernel<<<n, $block, 0, stream>>>(a, x, y, m);
        }
        """,
        forward,
        block=BLOCKS,
    )
    sheet.cuda(
        "float4",
        """
        __global__ void device_kernel(const float *a, const float4 *x, float4 *y, long m) {
            long i = blockIdx.x;
            float s = a[i];
            for (long j = threadIdx.x; j < m; j += $block) {
                float4 v = x[i * m + j];
                y[i * m + j] = make_float4(s * v.x, s * v.y, s * v.z, s * v.w);
            }
        }

        extern "C" void kernel(const float *a, const float4 *x, float4 *y, long n, long m, cudaStream_t stream) {
            device_kernel<<<n, $block, 0, stream>>>(a, x, y, m / 4);
        }
        """,
        forward,
        pace="fast",
        block=BLOCKS,
    )
    return sheet.templates
