"""Evaluation on a GPU. Run on a machine that has one: ``pytest -m gpu``."""

import pytest

from pytest_kernelbench.evaluation import Evaluator, reference_as_candidate
from pytest_kernelbench.records import Outcome, Task
from pytest_kernelbench.tasks import load_tasks

pytestmark = pytest.mark.gpu

RELU = Task(
    id="level1/19_ReLU",
    source="""
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x)

n = 1 << 26

def get_inputs():
    return [torch.rand(n)]

def get_init_inputs():
    return []
""",
)

TORCH = """
import torch

class ModelNew(torch.nn.Module):
    def forward(self, x):
        {body}
"""

TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def kernel(x, y, n, block: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    {body}

class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        n = x.numel()
        kernel[(triton.cdiv(n, 1024),)](x, y, n, 1024)
        return y
"""

CUDA = """
import torch
from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void device_kernel(const float *x, float *y, long n) {{
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    {body}
}}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {{
    device_kernel<<<(n + 255) / 256, 256, 0, stream>>>(x, y, n);
}}
''')

class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""

LOAD_INLINE = """
import torch
from torch.utils.cpp_extension import load_inline

module = load_inline(
    name="relu",
    cpp_sources="torch::Tensor relu(torch::Tensor x);",
    cuda_sources='''
__global__ void device_kernel(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
torch::Tensor relu(torch::Tensor x) {
    auto y = torch::empty_like(x);
    long n = x.numel();
    device_kernel<<<(n + 255) / 256, 256>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);
    return y;
}
''',
    functions=["relu"],
)

class ModelNew(torch.nn.Module):
    def forward(self, x):
        return module.relu(x)
"""


@pytest.fixture(scope="module")
def evaluator():
    with Evaluator(device="cuda", protocol="fast") as evaluator:
        yield evaluator


def one(evaluator, source, task=RELU):
    (evaluation,) = evaluator.evaluate(task, [source])
    return evaluation


@pytest.mark.parametrize(
    "source",
    [
        TORCH.format(body="return torch.clamp(x, min=0)"),
        TRITON.format(body="tl.store(y + i, tl.maximum(tl.load(x + i, i < n), 0.0), i < n)"),
        CUDA.format(body="if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;"),
        LOAD_INLINE,
    ],
    ids=["torch", "triton", "cuda", "load_inline"],
)
def test_a_good_kernel_of_each_backend_is_correct(evaluator, source):
    evaluation = one(evaluator, source)
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail
    assert 0.5 < evaluation.speedup < 1.5


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        (TORCH.format(body="return torch.("), Outcome.BUILD_ERROR),
        (TRITON.format(body="tl.no_such_function(x)"), Outcome.RUNTIME_ERROR),
        (CUDA.format(body="this does not compile"), Outcome.BUILD_ERROR),
    ],
    ids=["torch", "triton", "cuda"],
)
def test_a_kernel_that_does_not_build_is_told_from_one_that_fails(evaluator, source, outcome):
    assert one(evaluator, source).outcome is outcome


def test_crashes_cost_their_own_candidate_only(evaluator):
    crashes = [
        CUDA.format(body="y[i + (1L << 40)] = 1;"),
        CUDA.format(body='if (i == 0) asm("trap;");'),
        TORCH.format(body="import os; os.kill(os.getpid(), 11)"),
        TORCH.format(body="return torch.empty(1 << 40, device='cuda')"),
        TORCH.format(body="return torch.relu(x)"),
    ]
    *failed, good = evaluator.evaluate(RELU, crashes)
    assert [evaluation.outcome for evaluation in failed] == [Outcome.RUNTIME_ERROR] * 4
    assert good.outcome is Outcome.CORRECT, good.detail
    details = [evaluation.detail for evaluation in failed]
    assert len(set(details)) == 4, details
    assert "illegal memory access" in details[0]
    assert "SIGSEGV" in details[2]
    assert "out of memory" in details[3]


def test_an_endless_kernel_is_a_timeout_and_the_device_is_free_again(evaluator):
    endless = CUDA.format(body="volatile float s = 0; while (i >= 0) s += 1; y[0] = s;")
    bad, good = evaluator.evaluate(RELU, [endless, TORCH.format(body="return torch.relu(x)")])
    assert bad.outcome is Outcome.TIMEOUT
    assert good.outcome is Outcome.CORRECT, good.detail


def test_less_than_the_declared_precision_is_incorrect(evaluator):
    task = load_tasks("level1/1")[0]
    tf32 = """
import torch

class ModelNew(torch.nn.Module):
    def forward(self, A, B):
        torch.backends.cuda.matmul.allow_tf32 = True
        return A @ B
"""
    assert one(evaluator, tf32, task).outcome is Outcome.INCORRECT


def test_the_reference_itself_is_correct_and_never_fast(evaluator):
    for task in load_tasks("level1:subset1"):
        evaluation = one(evaluator, reference_as_candidate(task), task)
        assert evaluation.outcome is Outcome.CORRECT, (task.id, evaluation.detail)
        assert not evaluation.fast(margin=evaluator.margin), (task.id, evaluation)


def test_work_on_a_side_stream_is_timed(evaluator):
    hidden = """
import torch

stream = torch.cuda.Stream()

class ModelNew(torch.nn.Module):
    def forward(self, x):
        with torch.cuda.stream(stream):
            y = torch.relu(x)
            for _ in range(4):
                y = torch.relu(x)
        return y
"""
    evaluation = one(evaluator, hidden)
    assert evaluation.outcome is not Outcome.CORRECT or evaluation.speedup < 0.5


def test_a_daemon_that_a_candidate_leaves_ends_with_it_and_files_are_read_only(evaluator):
    daemon = TORCH.format(
        body="""import os, time
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
        try:
            open("/var/tmp/kernelbench-was-here", "w")
        except OSError as error:
            raise RuntimeError(f"errno {error.errno}")
        return torch.relu(x)"""
    )
    bad, good = evaluator.evaluate(RELU, [daemon, TORCH.format(body="return torch.relu(x)")])
    assert bad.outcome is Outcome.RUNTIME_ERROR
    assert "errno 30" in bad.detail
    assert good.outcome is Outcome.CORRECT, good.detail
