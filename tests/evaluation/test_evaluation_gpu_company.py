"""Several judges on one GPU, and short calls by its judge's clock. Run on a machine that has one: ``pytest -m gpu``."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from made_up_tasks import candidate, task

from pytest_kernelbench.evaluation import Evaluator
from pytest_kernelbench.records import Outcome

pytestmark = pytest.mark.gpu

N_JUDGES = 3
# Five kernels of some hundredths of a millisecond each.
CHAIN = task(
    "1_chain",
    "def forward(self, x):\n    return torch.relu(x * 1.5 + 0.25).mul(2.0).sub(0.5)",
    inputs="torch.rand(n)",
    n=1 << 24,
)
VALUE = "fmaxf(x[i] * 1.5f + 0.25f, 0.0f) * 2.0f - 0.5f"
IN_CUDA = candidate(
    "y = torch.empty_like(x)\nkernel(x, y, x.numel())\nreturn y",
    preamble=f'''
from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda("""
__global__ void device_kernel(const float *x, float *y, long n) {{
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = {VALUE};
}}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {{
    device_kernel<<<(n + 255) / 256, 256, 0, stream>>>(x, y, n);
}}
""")
''',
)
IN_TRITON = candidate(
    "y = torch.empty_like(x)\nkernel[(triton.cdiv(x.numel(), 1024),)](x, y, x.numel(), 1024)\nreturn y",
    preamble="""
import triton
import triton.language as tl

@triton.jit
def kernel(x, y, n, block: tl.constexpr):
    i = tl.program_id(0) * block + tl.arange(0, block)
    value = tl.maximum(tl.load(x + i, i < n) * 1.5 + 0.25, 0.0) * 2.0 - 0.5
    tl.store(y + i, value, i < n)
""",
)
WRONG = candidate("return x")
CRASHES = candidate("os.kill(os.getpid(), 11)")
SLOW = candidate("for _ in range(4):\n    y = torch.relu(x * 1.5 + 0.25).mul(2.0).sub(0.5)\nreturn y")


@pytest.mark.parametrize("source", [IN_CUDA, IN_TRITON], ids=["cuda", "triton"])
def test_a_short_kernel_in_place_of_five_counts_as_fast(source):
    """A call of it takes some hundredths of a millisecond, and is looked at alone as well."""
    with Evaluator(device="cuda", protocol="fast") as evaluator:
        (found,) = evaluator.evaluate(CHAIN, [source])
        assert found.outcome is Outcome.CORRECT, found.detail
        assert found.speedup > 2, found
        assert found.fast(margin=evaluator.margin), (found.uncounted_because, found.attested, found.seconds)


def test_judges_of_one_gpu_say_what_each_says_alone():
    sources = [WRONG, IN_TRITON, CRASHES, SLOW, IN_CUDA]

    def judge(number):
        own = [f"{source}\n# judge {number}\n" for source in sources]
        with Evaluator(device="cuda", protocol="fast") as evaluator:
            return [(each.outcome, each.fast(margin=evaluator.margin)) for each in evaluator.evaluate(CHAIN, own)]

    with ThreadPoolExecutor(N_JUDGES) as pool:
        side_by_side = list(pool.map(judge, range(N_JUDGES)))
    assert side_by_side == [judge("alone")] * N_JUDGES
    assert [outcome for outcome, _ in side_by_side[0]] == [
        Outcome.INCORRECT,
        Outcome.CORRECT,
        Outcome.RUNTIME_ERROR,
        Outcome.CORRECT,
        Outcome.CORRECT,
    ]
