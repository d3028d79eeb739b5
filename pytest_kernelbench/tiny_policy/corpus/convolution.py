# ruff: noqa: E501 - the lines of a kernel text are the candidate's, not ours
"""Convolutions: plain, transposed, strided and dilated, depthwise, separable and pointwise, in 1 to 3 dimensions.

In the kernels an image is a row of ``n`` numbers (``m`` in the output) and a filter a row of ``k`` taps; ``i``
is an output position and ``j`` a tap. Widths and heights are ``wx``, ``wy``, ``wk``, ``hx``, ``hy``, ``hk``.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_kernelbench.tiny_policy.corpus.base import Sheet, Template


@dataclass(frozen=True, slots=True, kw_only=True)
class _Geometry:
    """Where an output position and a tap read: the texts in which the kernels of two tasks differ."""

    sizes: str
    sizes_passed: str
    c_sizes: str
    at: str
    row: str
    guard: str = ""
    transposed: bool = False

    def forward(self, weight: str, call: str, output: str) -> str:
        return f"w = self.{weight}.weight\n{self.sizes}\ny = x.new_empty({output})\n{call}\nreturn y"

    @property
    def weight_at(self) -> str:
        return "(q * o + t % o) * k + j" if self.transposed else "(t % o * c + q) * k + j"


_PLAIN_1D = _Geometry(
    sizes="b, c, n = x.shape\no, c, k = w.shape\nm = n - k + 1",
    sizes_passed="c, o, n, m, k",
    c_sizes="long c, long o, long n, long m, long k",
    at="i + j",
    row="0",
)
_STRIDED_1D = _Geometry(
    sizes="s, d = self.conv1d.stride[0], self.conv1d.dilation[0]\nb, c, n = x.shape\no, c, k = w.shape\nm = (n - (k - 1) * d - 1) // s + 1",
    sizes_passed="c, o, n, m, k, s, d",
    c_sizes="long c, long o, long n, long m, long k, long s, long d",
    at="i * s + j * d",
    row="0",
)
_TRANSPOSED_1D = _Geometry(
    sizes="b, c, n = x.shape\nc, o, k = w.shape\nm = n + k - 1",
    sizes_passed="c, o, n, m, k",
    c_sizes="long c, long o, long n, long m, long k",
    at="i - j",
    row="0",
    guard="i < j || i - j >= n",
    transposed=True,
)
_PLAIN_2D = _Geometry(
    sizes="b, c, hx, wx = x.shape\no, c, hk, wk = w.shape\nhy, wy = hx - hk + 1, wx - wk + 1\nn, m, k = hx * wx, hy * wy, hk * wk",
    sizes_passed="c, o, n, m, k, wx, wy, wk",
    c_sizes="long c, long o, long n, long m, long k, long wx, long wy, long wk",
    at="(i / wy + j / wk) * wx + i % wy + j % wk",
    row="i + j / wk",
)
_TRANSPOSED_2D = _Geometry(
    sizes="b, c, hx, wx = x.shape\nc, o, hk, wk = w.shape\nhy, wy = hx + hk - 1, wx + wk - 1\nn, m, k = hx * wx, hy * wy, hk * wk",
    sizes_passed="c, o, n, m, k, wx, wy, wk",
    c_sizes="long c, long o, long n, long m, long k, long wx, long wy, long wk",
    at="(i / wy - j / wk) * wx + i % wy - j % wk",
    row="i - j / wk",
    guard="i / wy < j / wk || i / wy - j / wk >= n / wx || i % wy < j % wk || i % wy - j % wk >= wx",
    transposed=True,
)
_TRANSPOSED_3D = _Geometry(
    sizes=(
        "b, c, dx, hx, wx = x.shape\nc, o, dk, hk, wk = w.shape\n"
        "dy, hy, wy = dx + dk - 1, hx + hk - 1, wx + wk - 1\n"
        "n, m, k = dx * hx * wx, dy * hy * wy, dk * hk * wk"
    ),
    sizes_passed="c, o, n, m, k, hx, wx, hy, wy, hk, wk",
    c_sizes="long c, long o, long n, long m, long k, long hx, long wx, long hy, long wy, long hk, long wk",
    at="(f * hx + g) * wx + h",
    row="(i / hy - j / wk / hk) * hx + i % hy - j / wk % hk",
    guard="f < 0 || g < 0 || h < 0 || f * hx * wx >= n || g >= hx || h >= wx",
    transposed=True,
)

_DEEP = "long f = i / wy / hy - j / wk / hk, g = i / wy % hy - j / wk % hk, h = i % wy - j % wk;"


def _skip(geometry: _Geometry, indent: str) -> str:
    deep = f"{indent}{_DEEP}\n" if geometry is _TRANSPOSED_3D else ""
    return deep + (f"{indent}if ({geometry.guard}) continue;\n" if geometry.guard else "")


def _c_direct(geometry: _Geometry) -> str:
    indent = " " * 20
    return f"""
void kernel(const float *x, const float *w, float *y, long b, {geometry.c_sizes}) {{
    #pragma omp parallel for
    for (long t = 0; t < b * o; t++)
        for (long i = 0; i < m; i++) {{
            float acc = 0;
            for (long q = 0; q < c; q++)
                for (long j = 0; j < k; j++) {{
{_skip(geometry, indent)}                    acc += w[{geometry.weight_at}] * x[(t / o * c + q) * n + {geometry.at}];
                }}
            y[t * m + i] = acc;
        }}
}}
"""


def _c_planes(geometry: _Geometry) -> str:
    indent = " " * 20
    return f"""
void kernel(const float *x, const float *w, float *restrict y, long b, {geometry.c_sizes}) {{
    #pragma omp parallel for
    for (long t = 0; t < b * o; t++) {{
        for (long i = 0; i < m; i++) y[t * m + i] = 0;
        for (long q = 0; q < c; q++)
            for (long j = 0; j < k; j++)
                for (long i = 0; i < m; i++) {{
{_skip(geometry, indent)}                    y[t * m + i] += w[{geometry.weight_at}] * x[(t / o * c + q) * n + {geometry.at}];
                }}
    }}
}}
"""


def _row_guard(geometry: _Geometry) -> str:
    if not geometry.transposed or geometry.row == "0":
        return ""
    if geometry is _TRANSPOSED_3D:
        return (
            "                long f = i / hy - j / wk / hk, g = i % hy - j / wk % hk;\n"
            "                if (f < 0 || g < 0 || g >= hx || f * hx * wx >= n) continue;\n"
        )
    return f"                if ({geometry.row} < 0 || {geometry.row} >= n / wx) continue;\n"


def _add_row(geometry: _Geometry, row: str) -> str:
    flat = geometry.row == "0"
    tap = "j" if flat else "j % wk"
    if geometry is _STRIDED_1D:
        return f"for (long p = 0; p < m; p++) {row}[p] += v * u[p * s + j * d];"
    if geometry.transposed:
        return f"for (long p = 0; p < {'n' if flat else 'wx'}; p++) {row}[p + {tap}] += v * u[p];"
    return f"for (long p = 0; p < {'m' if flat else 'wy'}; p++) {row}[p] += v * u[p + {tap}];"


def _source_row(geometry: _Geometry) -> str:
    if geometry.row == "0":
        return ""
    row = "f * hx + g" if geometry is _TRANSPOSED_3D else geometry.row
    return f" + ({row}) * wx"


def _c_rows(geometry: _Geometry) -> str:
    """A row of the output at a time: it stays in the first-level cache, and the taps add shifted rows to it."""
    flat = geometry.row == "0"
    width = "m" if flat else "wy"
    index = "" if flat else "        long i = e % (m / wy), t = e / (m / wy);\n"
    return f"""
void kernel(const float *x, const float *w, float *y, long b, {geometry.c_sizes}) {{
    #pragma omp parallel for
    for (long {"t = 0; t < b * o; t++" if flat else "e = 0; e < b * o * (m / wy); e++"}) {{
{index}        float *restrict z = y + {"t" if flat else "e"} * {width};
        for (long p = 0; p < {width}; p++) z[p] = 0;
        for (long q = 0; q < c; q++)
            for (long j = 0; j < k; j++) {{
{_row_guard(geometry)}                float v = w[{geometry.weight_at}];
                const float *u = x + (t / o * c + q) * n{_source_row(geometry)};
                {_add_row(geometry, "z")}
            }}
    }}
}}
"""


def _c_tiles(geometry: _Geometry) -> str:
    """A stretch of one row in a fixed array, for one-dimensional images."""
    return f"""
void kernel(const float *x, const float *w, float *y, long b, {geometry.c_sizes}) {{
    #pragma omp parallel for
    for (long t = 0; t < b * o; t++)
        for (long s = 0; s < m; s += $block) {{
            long e = m - s < $block ? m - s : $block;
            float acc[$block] = {{0}};
            for (long q = 0; q < c; q++)
                for (long j = 0; j < k; j++)
                    for (long p = 0; p < e; p++)
                        acc[p] += w[{geometry.weight_at}] * x[(t / o * c + q) * n + s + p + j];
            for (long p = 0; p < e; p++) y[t * m + s + p] = acc[p];
        }}
}}
"""


def _triton_tile(geometry: _Geometry) -> str:
    """The convolution as a matrix product over channels, once for each tap."""
    at = geometry.at.replace("/", "//")
    arguments = geometry.sizes_passed
    weight = "(p[None, :] * o + t) * k + j" if geometry.transposed else "(t * c + p[None, :]) * k + j"
    place, inside = f"        a = {at}\n", ""
    if geometry is _TRANSPOSED_1D:
        inside = " & (a >= 0) & (a < n)"
    elif geometry is _TRANSPOSED_2D:
        place = "        g = i // wy - j // wk\n        h = i % wy - j % wk\n        a = g * wx + h\n"
        inside = " & (g >= 0) & (g * wx < n) & (h >= 0) & (h < wx)"
    elif geometry is _TRANSPOSED_3D:
        place = (
            "        f = i // wy // hy - j // wk // hk\n        g = i // wy % hy - j // wk % hk\n"
            "        h = i % wy - j % wk\n        a = (f * hx + g) * wx + h\n"
        )
        inside = " & (f >= 0) & (f * hx * wx < n) & (g >= 0) & (g < hx) & (h >= 0) & (h < wx)"
    return f"""
def kernel(x, w, y, {arguments}, block: tl.constexpr, step: tl.constexpr):
    z = tl.program_id(2).to(tl.int64)
    t = tl.program_id(1) * block + tl.arange(0, block)[:, None]
    i = tl.program_id(0) * block + tl.arange(0, block)[None, :]
    acc = tl.zeros((block, block), tl.float32)
    for j in range(k):
{place}        for q in range(0, c, step):
            p = q + tl.arange(0, step)
            u = tl.load(w + {weight}, (t < o) & (p[None, :] < c), 0.0)
            v = tl.load(x + (z * c + p[:, None]) * n + a, (p[:, None] < c) & (i < m){inside}, 0.0)
            acc = tl.dot(u, v, acc, input_precision="ieee")
    tl.store(y + (z * o + t) * m + i, acc, (t < o) & (i < m))
"""


def _triton_row(geometry: _Geometry) -> str:
    """One output channel of a stretch of positions in each program, without a matrix product."""
    text = _triton_tile(geometry)
    place = text[text.index("    for j in range(k):\n") : text.index("        for q in range")]
    inside = text[text.index("(i < m)") : text.index(", 0.0)\n            acc")]
    weight = "(q * o + t) * k + j" if geometry.transposed else "(t * c + q) * k + j"
    return f"""
def kernel(x, w, y, {geometry.sizes_passed}, block: tl.constexpr):
    z = tl.program_id(2).to(tl.int64)
    t = tl.program_id(1)
    i = tl.program_id(0) * block + tl.arange(0, block)
    acc = tl.zeros((block,), tl.float32)
{place}        for q in range(c):
            v = tl.load(x + (z * c + q) * n + a, {inside}, 0.0)
            acc += tl.load(w + {weight}) * v
    tl.store(y + (z * o + t) * m + i, acc, i < m)
"""


def _cuda_one(geometry: _Geometry) -> str:
    return f"""
__global__ void device_kernel(const float *x, const float *w, float *y, {geometry.c_sizes}) {{
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x, t = blockIdx.y;
    if (i >= m) return;
    float acc = 0;
    for (long j = 0; j < k; j++) {{
{_skip(geometry, " " * 8)}        for (long q = 0; q < c; q++) acc += w[{geometry.weight_at}] * x[(t / o * c + q) * n + {geometry.at}];
    }}
    y[t * m + i] = acc;
}}
extern "C" void kernel(const float *x, const float *w, float *y, long b, {geometry.c_sizes}, cudaStream_t stream) {{
    dim3 grid((m + $threads - 1) / $threads, b * o);
    device_kernel<<<grid, $threads, 0, stream>>>(x, w, y, {geometry.sizes_passed});
}}
"""


def _cuda_shared(geometry: _Geometry) -> str:
    """The filters of one output channel in shared memory."""
    filters = geometry.weight_at.replace("(q * o + t % o) * k + j", "(p / k * o + t % o) * k + p % k").replace(
        "(t % o * c + q) * k + j", "t % o * c * k + p"
    )
    return (
        _cuda_one(geometry)
        .replace(
            "    if (i >= m) return;\n",
            "    extern __shared__ float u[];\n"
            f"    for (long p = threadIdx.x; p < c * k; p += blockDim.x) u[p] = w[{filters}];\n"
            "    __syncthreads();\n    if (i >= m) return;\n",
        )
        .replace(f"w[{geometry.weight_at}]", "u[q * k + j]")
        .replace("$threads, 0, stream", "$threads, 4 * c * k, stream")
    )


def _cuda_many(geometry: _Geometry) -> str:
    """Several output channels in each thread, which share what it reads."""
    weight = geometry.weight_at.replace("t % o", "(t + r)")
    return f"""
__global__ void device_kernel(const float *x, const float *w, float *y, {geometry.c_sizes}) {{
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x, t = blockIdx.y * $many;
    if (i >= m) return;
    float acc[$many] = {{}};
    for (long j = 0; j < k; j++) {{
{_skip(geometry, " " * 8)}        for (long q = 0; q < c; q++) {{
            float v = x[(blockIdx.z * c + q) * n + {geometry.at}];
            for (int r = 0; r < $many; r++)
                if (t + r < o) acc[r] += v * w[{weight}];
        }}
    }}
    for (int r = 0; r < $many; r++)
        if (t + r < o) y[(blockIdx.z * o + t + r) * m + i] = acc[r];
}}
extern "C" void kernel(const float *x, const float *w, float *y, long b, {geometry.c_sizes}, cudaStream_t stream) {{
    dim3 grid((m + 255) / 256, (o + $many - 1) / $many, b);
    device_kernel<<<grid, 256, 0, stream>>>(x, w, y, {geometry.sizes_passed});
}}
"""


def _compiled(sheet: Sheet, geometry: _Geometry, weight: str, output: str) -> None:
    passed = geometry.sizes_passed
    call = geometry.forward(weight, f"kernel(x, w, y, b, {passed})", output)
    sheet.c("direct", _c_direct(geometry), call, pace="slow")
    sheet.c("planes", _c_planes(geometry), call, pace="slow")
    sheet.c("rows", _c_rows(geometry), call, pace="slow")
    if geometry is _PLAIN_1D:
        sheet.c("tiles", _c_tiles(geometry), call, pace="slow", block=[256, 512, 1024])
    sheet.c("last_channel", _c_direct(geometry).replace("acc += w", "acc = w"), call, correct=False)
    wrong = _c_rows(geometry).replace("q = 0; q < c;", "q = 1; q < c;")
    sheet.c("first_channel_skipped", wrong, call, correct=False)

    grid = "(triton.cdiv(m, $block), triton.cdiv(o, $block), b)"
    tile = f"kernel[{grid}](x, w, y, {passed}, $block, $step, num_warps=4)"
    launch = geometry.forward(weight, tile, output)
    sizes = {"block": [64, 32], "step": [16, 32]}
    sheet.triton("tile", _triton_tile(geometry), launch, pace="slow", **sizes)
    row = f"kernel[(triton.cdiv(m, $block), o, b)](x, w, y, {passed}, $block, num_warps=4)"
    sheet.triton("row", _triton_row(geometry), geometry.forward(weight, row, output), pace="slow", block=[512, 1024])
    wrong = _triton_tile(geometry).replace("u, v, acc, ", "u, v, ")
    sheet.triton("overwritten", wrong, launch, correct=False, **sizes)

    sheet.cuda("one_output", _cuda_one(geometry), call, pace="slow", threads=[128, 256])
    if geometry.row == "0":
        sheet.cuda("shared_filters", _cuda_shared(geometry), call, pace="slow", threads=[128, 256])
    sheet.cuda("many_channels", _cuda_many(geometry), call, pace="slow", many=[4, 8, 16])
    wrong = _cuda_one(geometry).replace("q = 0; q < c;", "q = 1; q < c;")
    sheet.cuda("first_channel_skipped", wrong, call, correct=False, threads=[128, 256])


def _standard(task: int, dimensions: int, name: str, attribute: str, geometry: _Geometry) -> list[Template]:
    """Tasks 55, 67 and 76: y[o, i] is the sum of w[o, c, j] * x[c, i * stride + j * dilation]."""
    full = "in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=False"
    strided = geometry is _STRIDED_1D
    init = "in_channels, out_channels, kernel_size, stride=1, dilation=1, bias=False" if strided else full
    options = "stride, dilation=dilation, bias=bias" if strided else "stride, padding, dilation, groups, bias"
    setup = f"self.{attribute} = nn.{name}(in_channels, out_channels, kernel_size, {options})"
    sheet = Sheet(task, init=init, setup=setup)
    weight = f"w = self.{attribute}.weight\n"
    function = f"F.conv{dimensions}d"
    module = f"self.{attribute}"
    more, passed = ("", "")
    if strided:
        more = f"s, d = {module}.stride[0], {module}.dilation[0]\n"
        passed = ", stride=s, dilation=d"
    sheet.torch("module", f"return {module}(x)")
    sheet.torch("functional", f"{weight}{more}return {function}(x, w{passed})")
    sheet.torch(
        "sample_by_sample",
        f"return torch.cat([{module}(a) for a in x.split(1)])",
    )
    sheet.torch(
        "output_blocks",
        f"{weight}{more}return torch.cat([{function}(x, a{passed}) for a in w.chunk($parts)], 1)",
        parts=[2, 4],
    )
    sheet.torch(
        "input_blocks",
        f"{weight}{more}return sum({function}(a, b{passed}) for a, b in zip(x.chunk($parts, 1), w.chunk($parts, 1)))",
        cuda="slow",
        parts=[2, 4],
    )
    flipped = "w.flip(2, 3)" if dimensions == 2 else "w.flip(2)"
    sheet.torch("flipped", f"{weight}{more}return {function}(x, {flipped}{passed})", correct=False)
    sheet.torch(
        "mean_filter",
        f"{weight}{more}return {function}(x, w.mean(1, keepdim=True).expand_as(w){passed})",
        correct=False,
    )
    if dimensions == 1:
        span = "(k - 1) * d + 1, s)[..., ::d]" if strided else "k, 1)"
        length = "n = x.shape[2] - (k - 1) * d\n" if strided else "n = x.shape[2] - k + 1\n"
        taps = weight + more + "k = w.shape[2]\n"
        shift = "x[:, :, j * d:j * d + n:s]" if strided else "x[:, :, j:j + n]"
        sheet.torch(
            "functional_2d",
            f"{weight}{more}return F.conv2d(x[:, :, None], w[:, :, None]"
            + (", stride=(1, s), dilation=(1, d)" if strided else "")
            + ")[:, :, 0]",
        )
        sheet.torch(
            "unfold_einsum",
            f'{taps}return torch.einsum("bcnk,ock->bon", x.unfold(2, {span}, w)',
            cpu="slow",
            cuda="slow",
        )
        sheet.torch(
            "unfold_matmul",
            f"{taps}x = x.unfold(2, {span}.transpose(2, 3).flatten(1, 2)\nreturn w.flatten(1) @ x",
            cpu="slow",
            cuda="slow",
        )
        sheet.torch(
            "shifted_matmuls",
            f"{taps}{length}return sum(w[:, :, j] @ {shift} for j in range(k))",
            cpu="slow",
            cuda="slow",
        )
        sheet.torch(
            "stacked_matmul",
            f"{taps}{length}x = torch.cat([{shift} for j in range(k)], 1)\nreturn w.transpose(1, 2).flatten(1) @ x",
            cuda="slow",
        )
        sheet.torch(
            "missing_tap",
            f"{taps}{length}return sum(w[:, :, j] @ {shift} for j in range(1, k))",
            correct=False,
        )
    else:
        taps = weight + "h, k = w.shape[2:]\nm, n = x.shape[2] - h + 1, x.shape[3] - k + 1\n"
        sheet.torch("channels_last", f"return {module}(x.contiguous(memory_format=torch.channels_last))")
        sheet.torch(
            "unfold_matmul",
            f"{taps}x = F.unfold(x, (h, k))\nreturn (w.flatten(1) @ x).unflatten(2, (m, n))",
            cpu="slow",
            cuda="slow",
        )
        sheet.torch(
            "unfold_einsum",
            f'{taps}return torch.einsum("bcmnij,ocij->bomn", x.unfold(2, h, 1).unfold(3, k, 1), w)',
            cpu="slow",
            cuda="slow",
        )
        sheet.torch(
            "shifted_matmuls",
            f"{taps}y = x.new_zeros(len(x), len(w), m * n)\nfor i in range(h):\n    for j in range(k):\n"
            "        y += w[:, :, i, j] @ x[:, :, i:i + m, j:j + n].flatten(2)\nreturn y.unflatten(2, (m, n))",
            cpu="slow",
            cuda="slow",
        )
        sheet.torch(
            "filter_rows",
            f"{taps}return sum(F.conv2d(x[:, :, i:i + m], w[:, :, i:i + 1]) for i in range(h))",
            cuda="slow",
        )
        sheet.torch(
            "missing_row",
            f"{taps}return sum(F.conv2d(x[:, :, i:i + m], w[:, :, i:i + 1]) for i in range(1, h))",
            correct=False,
        )
    output = "b, o, m" if dimensions == 1 else "b, o, hy, wy"
    _compiled(sheet, geometry, attribute, output)
    return sheet.templates


def _transposed(task: int, dimensions: int, attribute: str, geometry: _Geometry) -> list[Template]:
    """Tasks 64, 65 and 70: y[o, i] is the sum of w[c, o, j] * x[c, i - j]."""
    dilated = dimensions == 3
    init = (
        "in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, "
        + ("dilation=1, " if dilated else "")
        + "groups=1, bias=False"
    )
    options = "stride, padding, output_padding, groups, bias" + (", dilation" if dilated else "")
    setup = f"self.{attribute} = nn.ConvTranspose{dimensions}d(in_channels, out_channels, kernel_size, {options})"
    sheet = Sheet(task, init=init, setup=setup)
    weight = f"w = self.{attribute}.weight\n"
    module = f"self.{attribute}"
    function = f"F.conv_transpose{dimensions}d"
    axes = ", ".join(str(2 + axis) for axis in range(dimensions))
    sheet.torch("module", f"return {module}(x)")
    sheet.torch("functional", f"{weight}return {function}(x, w)")
    sheet.torch("sample_by_sample", f"return torch.cat([{module}(a) for a in x.split(1)])")
    turned = f"w = w.flip({axes}).transpose(0, 1)\n"
    pads = "[k - 1 for k in w.shape[2:]]"
    sheet.torch(
        "flipped_convolution",
        f"{weight}{turned}return F.conv{dimensions}d(x, w, padding={pads})",
        cuda="plain" if dimensions == 2 else "fast",
    )
    border = ", ".join(f"w.shape[{-1 - axis}] - 1, w.shape[{-1 - axis}] - 1" for axis in range(dimensions))
    sheet.torch(
        "padded_convolution",
        f"{weight}{turned}x = F.pad(x, ({border}))\nreturn F.conv{dimensions}d(x, w)",
        cuda="plain" if dimensions == 2 else "fast",
    )
    sheet.torch(
        "output_blocks",
        f"{weight}return torch.cat([{function}(x, a) for a in w.chunk($parts, 1)], 1)",
        parts=[2, 4],
    )
    sheet.torch(
        "input_blocks",
        f"{weight}return sum({function}(a, b) for a, b in zip(x.chunk($parts, 1), w.chunk($parts)))",
        parts=[2, 4],
    )
    if dimensions == 1:
        taps = weight + "k, n = w.shape[2], x.shape[2]\n"
        zeros = "y = x.new_zeros(len(x), w.shape[1], n + k - 1)\n"
        sheet.torch("functional_2d", f"{weight}return F.conv_transpose2d(x[:, :, None], w[:, :, None])[:, :, 0]")
        sheet.torch(
            "added_matmuls",
            f"{taps}{zeros}for j in range(k):\n    y[:, :, j:j + n] += w[:, :, j].t() @ x\nreturn y",
            cpu="slow",
            cuda="slow",
        )
        sheet.torch(
            "one_matmul",
            f"{taps}{zeros}x = (w.flatten(1).t() @ x).unflatten(1, (-1, k))\n"
            "for j in range(k):\n    y[:, :, j:j + n] += x[:, :, j]\nreturn y",
            cpu="slow",
            cuda="slow",
        )
        sheet.torch(
            "unturned_matmuls",
            f"{taps}{zeros}for j in range(k):\n    y[:, :, k - 1 - j:k - 1 - j + n] += w[:, :, j].t() @ x\nreturn y",
            correct=False,
        )
    elif dimensions == 2:
        taps = weight + "h, k = w.shape[2:]\nm, n = x.shape[2:]\n"
        sheet.torch(
            "fold",
            f"{taps}x = w.flatten(1).t() @ x.flatten(2)\nreturn F.fold(x, (m + h - 1, n + k - 1), (h, k))",
            cpu="slow",
            cuda="slow",
        )
        sheet.torch(
            "added_matmuls",
            f"{taps}y = x.new_zeros(len(x), w.shape[1], m + h - 1, n + k - 1)\nx = x.flatten(2)\n"
            "for i in range(h):\n    for j in range(k):\n"
            "        y[:, :, i:i + m, j:j + n] += (w[:, :, i, j].t() @ x).unflatten(2, (m, n))\nreturn y",
            cpu="slow",
            cuda="slow",
        )
        sheet.torch("channels_last", f"return {module}(x.contiguous(memory_format=torch.channels_last))")
    else:
        taps = weight + "a, b, d = w.shape[2:]\nl, m, n = x.shape[2:]\n"
        sheet.torch(
            "added_matmuls",
            f"{taps}y = x.new_zeros(len(x), w.shape[1], l + a - 1, m + b - 1, n + d - 1)\n"
            "for i, j, k in torch.cartesian_prod(*map(torch.arange, (a, b, d))).tolist():\n"
            '    y[:, :, i:i + l, j:j + m, k:k + n] += torch.einsum("co,bclmn->bolmn", w[:, :, i, j, k], x)\nreturn y',
            cpu="slow",
            cuda="slow",
        )
        sheet.torch(
            "planes",
            f"{taps}y = x.new_zeros(len(x), w.shape[1], l + a - 1, m + b - 1, n + d - 1)\n"
            "for i in range(l):\n    for j in range(a):\n"
            "        y[:, :, i + j] += F.conv_transpose2d(x[:, :, i], w[:, :, j])\nreturn y",
            cpu="slow",
            cuda="slow",
        )
        sheet.torch("channels_last", f"return {module}(x.contiguous(memory_format=torch.channels_last_3d))")
    sheet.torch(
        "unflipped_convolution",
        f"{weight}return F.conv{dimensions}d(x, w.transpose(0, 1), padding={pads})",
        correct=False,
    )
    sheet.torch("flipped", f"{weight}return {function}(x, w.flip({axes}))", correct=False)
    output = {1: "b, o, m", 2: "b, o, hy, wy", 3: "b, o, dy, hy, wy"}[dimensions]
    _compiled(sheet, geometry, attribute, output)
    return sheet.templates


_C_DEPTHWISE = """
void kernel(const float *x, const float *w, float *y, long r, long c, long h, long l, long k) {
    long m = h - k + 1, n = l - k + 1;
    #pragma omp parallel for
    for (long t = 0; t < r; t++)
        for (long i = 0; i < m * n; i++) {
            float acc = 0;
            for (long j = 0; j < k * k; j++)
                acc += w[t % c * k * k + j] * x[(t * h + i / n + j / k) * l + i % n + j % k];
            y[t * m * n + i] = acc;
        }
}
"""

_C_DEPTHWISE_ROWS = """
void kernel(const float *x, const float *w, float *restrict y, long r, long c, long h, long l, long k) {
    long m = h - k + 1, n = l - k + 1;
    #pragma omp parallel for
    for (long t = 0; t < r * m; t++) {
        for (long i = 0; i < n; i++) y[t * n + i] = 0;
        for (long j = 0; j < k * k; j++) {
            float v = w[t / m % c * k * k + j];
            const float *u = x + (t / m * h + t % m + j / k) * l + j % k;
            for (long i = 0; i < n; i++) y[t * n + i] += v * u[i];
        }
    }
}
"""

_TRITON_DEPTHWISE = """
def kernel(x, w, y, c, h, l, m, n, k, block: tl.constexpr):
    t = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * block + tl.arange(0, block)
    acc = tl.zeros((block,), tl.float32)
    for j in range(k * k):
        v = tl.load(x + (t // m * h + t % m + j // k) * l + i + j % k, i < n, 0.0)
        acc += v * tl.load(w + t // m % c * k * k + j)
    tl.store(y + t * n + i, acc, i < n)
"""

_TRITON_DEPTHWISE_TILE = """
def kernel(x, w, y, c, h, l, m, n, k, rows: tl.constexpr, block: tl.constexpr):
    t = tl.program_id(2).to(tl.int64)
    g = tl.program_id(1) * rows + tl.arange(0, rows)[:, None]
    i = tl.program_id(0) * block + tl.arange(0, block)[None, :]
    acc = tl.zeros((rows, block), tl.float32)
    for j in range(k * k):
        v = tl.load(x + (t * h + g + j // k) * l + i + j % k, (g < m) & (i < n), 0.0)
        acc += v * tl.load(w + t % c * k * k + j)
    tl.store(y + (t * m + g) * n + i, acc, (g < m) & (i < n))
"""

_CUDA_DEPTHWISE = """
__global__ void device_kernel(const float *x, const float *w, float *y, long c, long h, long l, long k) {
    long m = h - k + 1, n = l - k + 1, t = blockIdx.x, i = blockIdx.y * (long)blockDim.x + threadIdx.x;
    if (i >= n) return;
    float acc = 0;
    for (long a = 0; a < k; a++)
        for (long j = 0; j < k; j++)
            acc += w[(t / m % c * k + a) * k + j] * x[(t / m * h + t % m + a) * l + i + j];
    y[t * n + i] = acc;
}
extern "C" void kernel(const float *x, const float *w, float *y, long r, long c, long h, long l, long k, cudaStream_t stream) {
    dim3 grid(r * (h - k + 1), (l - k + $threads) / $threads);
    device_kernel<<<grid, $threads, 0, stream>>>(x, w, y, c, h, l, k);
}
"""

_CUDA_DEPTHWISE_FLAT = """
__global__ void device_kernel(const float *x, const float *w, float *y, long c, long h, long l, long k) {
    long n = l - k + 1, t = blockIdx.x, i = blockIdx.y * (long)blockDim.x + threadIdx.x;
    if (i >= (h - k + 1) * n) return;
    float acc = 0;
    for (long j = 0; j < k * k; j++)
        acc += w[t % c * k * k + j] * x[(t * h + i / n + j / k) * l + i % n + j % k];
    y[t * (h - k + 1) * n + i] = acc;
}
extern "C" void kernel(const float *x, const float *w, float *y, long r, long c, long h, long l, long k, cudaStream_t stream) {
    dim3 grid(r, ((h - k + 1) * (l - k + 1) + $threads - 1) / $threads);
    device_kernel<<<grid, $threads, 0, stream>>>(x, w, y, c, h, l, k);
}
"""

_CUDA_DEPTHWISE_SHARED = """
__global__ void device_kernel(const float *x, const float *w, float *y, long c, long h, long l, long k) {
    extern __shared__ float z[];
    long m = h - k + 1, n = l - k + 1, t = blockIdx.x;
    for (long q = threadIdx.x; q < k * l; q += blockDim.x) z[q] = x[(t / m * h + t % m) * l + q];
    __syncthreads();
    for (long i = threadIdx.x; i < n; i += blockDim.x) {
        float acc = 0;
        for (long j = 0; j < k * k; j++) acc += w[t / m % c * k * k + j] * z[j / k * l + i + j % k];
        y[t * n + i] = acc;
    }
}
extern "C" void kernel(const float *x, const float *w, float *y, long r, long c, long h, long l, long k, cudaStream_t stream) {
    device_kernel<<<r * (h - k + 1), $threads, 4 * k * l, stream>>>(x, w, y, c, h, l, k);
}
"""


def _depthwise_forward(attribute: str, call: str, end: str = "return y") -> str:
    padding = "" if attribute == "conv2d" else "p = self.depthwise.padding[0]\nx = F.pad(x, (p, p, p, p))\n"
    return (
        f"w = self.{attribute}.weight\n{padding}"
        "b, c, h, l = x.shape\nk = w.shape[2]\nm, n = h - k + 1, l - k + 1\n"
        f"y = x.new_empty(b, c, m, n)\n{call}\n{end}"
    )


def _compiled_depthwise(sheet: Sheet, attribute: str, end: str) -> None:
    call = _depthwise_forward(attribute, "kernel(x, w, y, b * c, c, h, l, k)", end)
    sheet.c("direct", _C_DEPTHWISE, call, pace="slow")
    sheet.c("serial", _C_DEPTHWISE.replace("    #pragma omp parallel for\n", ""), call, pace="slow")
    sheet.c("rows", _C_DEPTHWISE_ROWS, call, pace="fast" if attribute == "conv2d" else "plain")
    wrong = _C_DEPTHWISE.replace("t % c * k * k + j", "j")
    sheet.c("first_filter", wrong, call, correct=False)
    row = "kernel[(b * c * m, triton.cdiv(n, $block))](x, w, y, c, h, l, m, n, k, $block, num_warps=$warps)"
    choices = {"block": [512, 256], "warps": [4, 2]}
    sheet.triton("row", _TRITON_DEPTHWISE, _depthwise_forward(attribute, row, end), pace="fast", **choices)
    tile = (
        "grid = (triton.cdiv(n, $block), triton.cdiv(m, $rows), b * c)\n"
        "kernel[grid](x, w, y, c, h, l, m, n, k, $rows, $block, num_warps=4)"
    )
    sheet.triton("tile", _TRITON_DEPTHWISE_TILE, _depthwise_forward(attribute, tile, end), rows=[4, 8, 16], block=[128])
    wrong = _TRITON_DEPTHWISE.replace("i + j % k", "i").replace("t % m + j // k", "t % m")
    sheet.triton("unshifted", wrong, _depthwise_forward(attribute, row, end), correct=False, **choices)
    threads = {"threads": [128, 256]}
    sheet.cuda("row", _CUDA_DEPTHWISE, call, **threads)
    sheet.cuda("flat", _CUDA_DEPTHWISE_FLAT, call, **threads)
    sheet.cuda("shared", _CUDA_DEPTHWISE_SHARED, call, **threads)
    wrong = _CUDA_DEPTHWISE.replace("j < k; j++", "j < k - 1; j++")
    sheet.cuda("missing_column", wrong, call, correct=False, **threads)


def _depthwise() -> list[Template]:
    sheet = Sheet(
        82,
        init="in_channels, kernel_size, stride=1, padding=0, bias=False",
        setup="self.conv2d = nn.Conv2d(in_channels, in_channels, kernel_size, stride, padding, groups=in_channels, bias=bias)",
    )
    head = "w = self.conv2d.weight\ns, p = self.conv2d.stride[0], self.conv2d.padding[0]\n"
    padded = head + "k = w.shape[2]\nx = F.pad(x, (p, p, p, p))\n"
    sizes = "m, n = x.shape[2] - k + 1, x.shape[3] - k + 1\n"
    shift = "x[:, :, i:i + m:s, j:j + n:s]"
    sheet.torch("module", "return self.conv2d(x)")
    sheet.torch("functional", head + "return F.conv2d(x, w, stride=s, padding=p, groups=len(w))")
    sheet.torch("channels_last", "return self.conv2d(x.contiguous(memory_format=torch.channels_last))", cuda="fast")
    sheet.torch("sample_by_sample", "return torch.cat([self.conv2d(a) for a in x.split(1)])", cuda="slow")
    sheet.torch(
        "channel_blocks",
        head
        + "return torch.cat([F.conv2d(a, b, stride=s, padding=p, groups=len(b)) for a, b in zip(x.chunk($parts, 1), w.chunk($parts))], 1)",
        cuda="slow",
        parts=[2, 4],
    )
    sheet.torch(
        "channel_by_channel",
        head + "return torch.cat([F.conv2d(x[:, i:i + 1], w[i:i + 1], stride=s, padding=p) for i in range(len(w))], 1)",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "shifted_products",
        padded + sizes + f"return sum(w[:, :, i, j, None] * {shift} for i in range(k) for j in range(k))",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "added_products",
        padded + sizes + f"y = 0 * x[:, :, :m:s, :n:s]\nfor i in range(k):\n    for j in range(k):\n"
        f"        y = torch.addcmul(y, w[:, :, i, j, None], {shift})\nreturn y",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "unfold_einsum",
        padded + 'x = x.unfold(2, k, s).unfold(3, k, s)\nreturn torch.einsum("bcmnij,cij->bcmn", x, w[:, 0])',
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "dense",
        head
        + "i = torch.eye(len(w), device=w.device)\nreturn F.conv2d(x, w * i[:, :, None, None], stride=s, padding=p)",
        cuda="slow",
    )
    sheet.torch(
        "flipped",
        head + "return F.conv2d(x, w.flip(2, 3), stride=s, padding=p, groups=len(w))",
        correct=False,
    )
    sheet.torch(
        "swapped_axes",
        head + "return F.conv2d(x, w.transpose(2, 3), stride=s, padding=p, groups=len(w))",
        correct=False,
    )
    sheet.torch(
        "first_filter",
        head + "return F.conv2d(x, w[:1].expand_as(w), stride=s, padding=p, groups=len(w))",
        correct=False,
    )
    _compiled_depthwise(sheet, "conv2d", "return y")
    return sheet.templates


_TRITON_FUSED = """
def kernel(x, d, w, y, c, o, h, l, k, p, block: tl.constexpr, step: tl.constexpr):
    z = tl.program_id(2).to(tl.int64)
    t = tl.program_id(1) * block + tl.arange(0, block)[:, None]
    i = tl.program_id(0) * block + tl.arange(0, block)[None, :]
    acc = tl.zeros((block, block), tl.float32)
    for q in range(0, c, step):
        r = q + tl.arange(0, step)
        v = tl.zeros((step, block), tl.float32)
        for j in range(k * k):
            a = i // l + j // k - p
            b = i % l + j % k - p
            g = (r[:, None] < c) & (a >= 0) & (a < h) & (b >= 0) & (b < l)
            s = tl.load(x + ((z * c + r[:, None]) * h + a) * l + b, g, 0.0)
            v += s * tl.load(d + r[:, None] * k * k + j, r[:, None] < c, 0.0)
        u = tl.load(w + t * c + r[None, :], (t < o) & (r[None, :] < c), 0.0)
        acc = tl.dot(u, v, acc, input_precision="ieee")
    tl.store(y + (z * o + t) * h * l + i, acc, (t < o) & (i < h * l))
"""


def _separable() -> list[Template]:
    sheet = Sheet(
        86,
        init="in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, bias=False",
        setup=(
            "self.depthwise = nn.Conv2d(in_channels, in_channels, kernel_size, stride, padding, dilation, groups=in_channels, bias=bias)\n"
            "self.pointwise = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=bias)"
        ),
    )
    weight = "w = self.pointwise.weight[:, :, 0, 0]\n"
    sheet.torch("modules", "return self.pointwise(self.depthwise(x))")
    sheet.torch(
        "functional",
        "w, p = self.depthwise.weight, self.depthwise.padding\nx = F.conv2d(x, w, padding=p, groups=len(w))\n"
        "return F.conv2d(x, self.pointwise.weight)",
    )
    sheet.torch("einsum", weight + 'return torch.einsum("oc,bchw->bohw", w, self.depthwise(x))')
    sheet.torch("matmul", weight + "x = self.depthwise(x)\nreturn (w @ x.flatten(2)).unflatten(2, x.shape[2:])")
    sheet.torch("linear", weight + "x = self.depthwise(x).movedim(1, 3)\nreturn F.linear(x, w).movedim(3, 1)")
    sheet.torch(
        "one_convolution",
        "w = self.pointwise.weight * self.depthwise.weight.transpose(0, 1)\n"
        "return F.conv2d(x, w, padding=self.depthwise.padding)",
        cuda="slow",
    )
    sheet.torch("sample_by_sample", "return torch.cat([self.pointwise(self.depthwise(a)) for a in x.split(1)])")
    sheet.torch(
        "channels_last",
        "x = x.contiguous(memory_format=torch.channels_last)\nreturn self.pointwise(self.depthwise(x))",
    )
    sheet.torch(
        "shifted_products",
        weight
        + "k, p = self.depthwise.weight, self.depthwise.padding[0]\nm, n = x.shape[2:]\nx = F.pad(x, (p, p, p, p))\n"
        "m, n = x.shape[2] - k.shape[2] + 1, x.shape[3] - k.shape[3] + 1\n"
        "y = sum(k[:, :, i, j, None] * x[:, :, i:i + m, j:j + n] for i in range(k.shape[2]) for j in range(k.shape[3]))\n"
        "return (w @ y.flatten(2)).unflatten(2, (m, n))",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch(
        "input_blocks",
        "w = self.pointwise.weight\nx = self.depthwise(x)\nreturn sum(F.conv2d(a, b) for a, b in zip(x.chunk($parts, 1), w.chunk($parts, 1)))",
        parts=[2, 4],
    )
    sheet.torch("without_depthwise", "return self.pointwise(x)", correct=False)
    sheet.torch("relu_between", "return self.pointwise(F.relu(self.depthwise(x)))", correct=False)
    sheet.torch(
        "flipped",
        "w, p = self.depthwise.weight, self.depthwise.padding\nx = F.conv2d(x, w.flip(2, 3), padding=p, groups=len(w))\n"
        "return self.pointwise(x)",
        correct=False,
    )
    _compiled_depthwise(sheet, "depthwise", "return self.pointwise(y)")
    fused = (
        "d, w, p = self.depthwise.weight, self.pointwise.weight, self.depthwise.padding[0]\nb, c, h, l = x.shape\n"
        "o, k = len(w), d.shape[2]\ny = x.new_empty(b, o, h, l)\ngrid = (triton.cdiv(h * l, $block), triton.cdiv(o, $block), b)\n"
        "kernel[grid](x, d, w, y, c, o, h, l, k, p, $block, $step, num_warps=4)\nreturn y"
    )
    sheet.triton("fused", _TRITON_FUSED, fused, pace="slow", block=[64, 128], step=[16, 32])
    return sheet.templates


_C_POINTWISE = """
void kernel(const float *x, const float *w, float *y, long b, long c, long o, long n) {
    #pragma omp parallel for
    for (long t = 0; t < b * o; t++)
        for (long i = 0; i < n; i++) {
            float acc = 0;
            for (long q = 0; q < c; q++) acc += w[t % o * c + q] * x[(t / o * c + q) * n + i];
            y[t * n + i] = acc;
        }
}
"""

_C_POINTWISE_PLANES = """
void kernel(const float *x, const float *w, float *restrict y, long b, long c, long o, long n) {
    #pragma omp parallel for
    for (long t = 0; t < b * o; t++) {
        for (long i = 0; i < n; i++) y[t * n + i] = 0;
        for (long q = 0; q < c; q++)
            for (long i = 0; i < n; i++) y[t * n + i] += w[t % o * c + q] * x[(t / o * c + q) * n + i];
    }
}
"""

_C_POINTWISE_TILES = """
void kernel(const float *x, const float *w, float *y, long b, long c, long o, long n) {
    #pragma omp parallel for collapse(2)
    for (long t = 0; t < b; t++)
        for (long s = 0; s < n; s += $block) {
            long e = n - s < $block ? n - s : $block;
            for (long r = 0; r < o; r++) {
                float acc[$block] = {0};
                for (long q = 0; q < c; q++)
                    for (long i = 0; i < e; i++) acc[i] += w[r * c + q] * x[(t * c + q) * n + s + i];
                for (long i = 0; i < e; i++) y[(t * o + r) * n + s + i] = acc[i];
            }
        }
}
"""

_C_POINTWISE_REGISTERS = """
void kernel(const float *x, const float *w, float *y, long b, long c, long o, long n) {
    #pragma omp parallel for collapse(2)
    for (long t = 0; t < b; t++)
        for (long s = 0; s < n; s += $block) {
            long e = n - s < $block ? n - s : $block;
            float u[c * $block];
            for (long q = 0; q < c; q++)
                for (long i = 0; i < $block; i++) u[q * $block + i] = i < e ? x[(t * c + q) * n + s + i] : 0;
            for (long r = 0; r < o; r++) {
                float acc[$block] = {0};
                for (long q = 0; q < c; q++)
                    for (long i = 0; i < $block; i++) acc[i] += w[r * c + q] * u[q * $block + i];
                for (long i = 0; i < e; i++) y[(t * o + r) * n + s + i] = acc[i];
            }
        }
}
"""

_TRITON_POINTWISE = """
def kernel(x, w, y, c, o, n, block: tl.constexpr, step: tl.constexpr):
    z = tl.program_id(2).to(tl.int64)
    t = tl.program_id(1) * block + tl.arange(0, block)[:, None]
    i = tl.program_id(0) * block + tl.arange(0, block)[None, :]
    acc = tl.zeros((block, block), tl.float32)
    for q in range(0, c, step):
        p = q + tl.arange(0, step)
        u = tl.load(w + t * c + p[None, :], (t < o) & (p[None, :] < c), 0.0)
        v = tl.load(x + (z * c + p[:, None]) * n + i, (p[:, None] < c) & (i < n), 0.0)
        acc = tl.dot(u, v, acc, input_precision="ieee")
    tl.store(y + (z * o + t) * n + i, acc, (t < o) & (i < n))
"""

_TRITON_POINTWISE_ROW = """
def kernel(x, w, y, c, o, n, block: tl.constexpr):
    z = tl.program_id(2).to(tl.int64)
    t = tl.program_id(1)
    i = tl.program_id(0) * block + tl.arange(0, block)
    acc = tl.zeros((block,), tl.float32)
    for q in range(c):
        acc += tl.load(w + t * c + q) * tl.load(x + (z * c + q) * n + i, i < n, 0.0)
    tl.store(y + (z * o + t) * n + i, acc, i < n)
"""

_CUDA_POINTWISE = """
__global__ void device_kernel(const float *x, const float *w, float *y, long c, long o, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x, t = blockIdx.y;
    if (i >= n) return;
    float acc = 0;
    for (long q = 0; q < c; q++) acc += w[t % o * c + q] * x[(t / o * c + q) * n + i];
    y[t * n + i] = acc;
}
extern "C" void kernel(const float *x, const float *w, float *y, long b, long c, long o, long n, cudaStream_t stream) {
    dim3 grid((n + $threads - 1) / $threads, b * o);
    device_kernel<<<grid, $threads, 0, stream>>>(x, w, y, c, o, n);
}
"""

_CUDA_POINTWISE_MANY = """
__global__ void device_kernel(const float *x, const float *w, float *y, long c, long o, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x, t = blockIdx.y * $many;
    if (i >= n) return;
    float acc[$many] = {};
    for (long q = 0; q < c; q++) {
        float v = x[(blockIdx.z * c + q) * n + i];
        for (int r = 0; r < $many; r++)
            if (t + r < o) acc[r] += v * w[(t + r) * c + q];
    }
    for (int r = 0; r < $many; r++)
        if (t + r < o) y[(blockIdx.z * o + t + r) * n + i] = acc[r];
}
extern "C" void kernel(const float *x, const float *w, float *y, long b, long c, long o, long n, cudaStream_t stream) {
    dim3 grid((n + 255) / 256, (o + $many - 1) / $many, b);
    device_kernel<<<grid, 256, 0, stream>>>(x, w, y, c, o, n);
}
"""

_CUDA_POINTWISE_SHARED = """
__global__ void device_kernel(const float *x, const float *w, float *y, long c, long o, long n) {
    extern __shared__ float u[];
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    for (long q = 0; q < c; q++) u[q * $threads + threadIdx.x] = i < n ? x[(blockIdx.z * c + q) * n + i] : 0;
    if (i >= n) return;
    for (long t = blockIdx.y; t < o; t += gridDim.y) {
        float acc = 0;
        for (long q = 0; q < c; q++) acc += w[t * c + q] * u[q * $threads + threadIdx.x];
        y[(blockIdx.z * o + t) * n + i] = acc;
    }
}
extern "C" void kernel(const float *x, const float *w, float *y, long b, long c, long o, long n, cudaStream_t stream) {
    dim3 grid((n + $threads - 1) / $threads, 1, b);
    device_kernel<<<grid, $threads, 4 * c * $threads, stream>>>(x, w, y, c, o, n);
}
"""


def _pointwise() -> list[Template]:
    sheet = Sheet(
        87,
        init="in_channels, out_channels, bias=False",
        setup="self.conv1d = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=bias)",
    )
    weight = "w = self.conv1d.weight[:, :, 0, 0]\n"
    sheet.torch("module", "return self.conv1d(x)")
    sheet.torch("functional", "return F.conv2d(x, self.conv1d.weight)")
    sheet.torch("einsum", weight + 'return torch.einsum("oc,bchw->bohw", w, x)')
    sheet.torch("matmul", weight + "return (w @ x.flatten(2)).unflatten(2, x.shape[2:])")
    sheet.torch(
        "bmm",
        weight + "return torch.bmm(w.expand(len(x), *w.shape), x.flatten(2)).view(len(x), -1, *x.shape[2:])",
    )
    sheet.torch(
        "tensordot",
        weight + "return torch.tensordot(x, w, ([1], [1])).movedim(3, 1)",
        cpu="slow",
        cuda="slow",
    )
    sheet.torch("linear", weight + "return F.linear(x.movedim(1, 3), w).movedim(3, 1)")
    sheet.torch("conv1d", "w = self.conv1d.weight[..., 0]\nreturn F.conv1d(x.flatten(2), w).unflatten(2, x.shape[2:])")
    sheet.torch(
        "sample_by_sample",
        weight + "return torch.stack([w @ a.flatten(1) for a in x]).unflatten(2, x.shape[2:])",
    )
    sheet.torch("channels_last", "return self.conv1d(x.contiguous(memory_format=torch.channels_last))")
    sheet.torch(
        "output_blocks",
        "w = self.conv1d.weight\nreturn torch.cat([F.conv2d(x, a) for a in w.chunk($parts)], 1)",
        parts=[2, 4],
    )
    sheet.torch(
        "input_blocks",
        "w = self.conv1d.weight\nreturn sum(F.conv2d(a, b) for a, b in zip(x.chunk($parts, 1), w.chunk($parts, 1)))",
        parts=[2, 4],
    )
    sheet.torch(
        "first_half",
        "w = self.conv1d.weight\nn = w.shape[1] // 2\nreturn F.conv2d(x[:, :n], w[:, :n])",
        correct=False,
    )
    sheet.torch("positive_filter", "return F.conv2d(x, self.conv1d.weight.abs())", correct=False)

    def forward(call: str) -> str:
        return (
            "w = self.conv1d.weight\nb, c, h, l = x.shape\no, n = len(w), h * l\n"
            f"y = x.new_empty(b, o, h, l)\n{call}\nreturn y"
        )

    call = forward("kernel(x, w, y, b, c, o, n)")
    sheet.c("direct", _C_POINTWISE, call, pace="slow")
    sheet.c("planes", _C_POINTWISE_PLANES, call, pace="slow")
    sheet.c("tiles", _C_POINTWISE_TILES, call, pace="plain", block=[128, 256, 512])
    sheet.c("copied_tiles", _C_POINTWISE_REGISTERS, call, pace="plain", block=[64, 128])
    sheet.c("last_channel", _C_POINTWISE.replace("acc += w", "acc = w"), call, correct=False)
    tile = forward(
        "grid = (triton.cdiv(n, $block), triton.cdiv(o, $block), b)\n"
        "kernel[grid](x, w, y, c, o, n, $block, $step, num_warps=4)"
    )
    sizes = {"block": [64, 128], "step": [16, 32]}
    sheet.triton("tile", _TRITON_POINTWISE, tile, **sizes)
    row = forward("kernel[(triton.cdiv(n, $block), o, b)](x, w, y, c, o, n, $block, num_warps=4)")
    sheet.triton("row", _TRITON_POINTWISE_ROW, row, pace="slow", block=[512, 1024])
    wrong = _TRITON_POINTWISE.replace("u, v, acc, ", "u, v, ")
    sheet.triton("overwritten", wrong, tile, correct=False, **sizes)
    sheet.cuda("one_output", _CUDA_POINTWISE, call, pace="slow", threads=[128, 256])
    sheet.cuda("many_channels", _CUDA_POINTWISE_MANY, call, many=[16, 8, 32])
    sheet.cuda("shared_input", _CUDA_POINTWISE_SHARED, call, pace="slow", threads=[128, 64])
    wrong = _CUDA_POINTWISE.replace("q = 0; q < c;", "q = 1; q < c;")
    sheet.cuda("first_channel_skipped", wrong, call, correct=False, threads=[128, 256])
    return sheet.templates


def templates() -> list[Template]:
    return [
        *_standard(55, 2, "Conv2d", "conv2d", _PLAIN_2D),
        *_standard(67, 1, "Conv1d", "conv1d", _PLAIN_1D),
        *_standard(76, 1, "Conv1d", "conv1d", _STRIDED_1D),
        *_transposed(64, 1, "conv1d_transpose", _TRANSPOSED_1D),
        *_transposed(65, 2, "conv_transpose2d", _TRANSPOSED_2D),
        *_transposed(70, 3, "conv_transpose3d", _TRANSPOSED_3D),
        *_depthwise(),
        *_separable(),
        *_pointwise(),
    ]
