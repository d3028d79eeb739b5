"""Evaluation on a GPU. Run on a machine that has one: ``pytest -m gpu``."""

import subprocess

import pytest
import torch

from pytest_kernelbench.evaluation import Evaluator, reference_as_candidate
from pytest_kernelbench.evaluation.device import cuda
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
__global__ void device_kernel(const float *x, float *y, long n) {{
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    {body}
}}
torch::Tensor relu(torch::Tensor x) {{
    auto y = torch::empty_like(x);
    long n = x.numel();
    device_kernel<<<(n + 255) / 256, 256>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);
    return y;
}}
''',
    functions=["relu"],
)

class ModelNew(torch.nn.Module):
    def forward(self, x):
        return module.relu(x)
"""

GOOD = TORCH.format(body="return torch.relu(x)")
IN_CUDA = "if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;"


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
        CUDA.format(body=IN_CUDA),
        LOAD_INLINE.format(body=IN_CUDA),
    ],
    ids=["torch", "triton", "cuda", "load_inline"],
)
def test_a_good_kernel_of_each_backend_is_correct(evaluator, source):
    evaluation = one(evaluator, source)
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail
    assert 0.5 < evaluation.speedup < 1.5


@pytest.mark.parametrize(
    ("source", "outcome", "said"),
    [
        (TORCH.format(body="return torch.("), Outcome.BUILD_ERROR, "SyntaxError"),
        # Triton compiles when it is first called.
        (TRITON.format(body="tl.no_such_function(x)"), Outcome.RUNTIME_ERROR, "no_such_function"),
        (CUDA.format(body="this does not compile;"), Outcome.BUILD_ERROR, "kernel.cu(4): error: "),
        (LOAD_INLINE.format(body="this does not compile;"), Outcome.BUILD_ERROR, "error: "),
    ],
    ids=["torch", "triton", "cuda", "load_inline"],
)
def test_a_kernel_that_does_not_build_is_told_from_one_that_fails(evaluator, source, outcome, said):
    evaluation = one(evaluator, source)
    assert evaluation.outcome is outcome, evaluation.detail
    assert said in evaluation.detail


COUNTS_KERNELS = """
import glob
import os

def kernels():
    return len(glob.glob(os.environ["TRITON_CACHE_DIR"] + "/*/*.cubin"))

had = kernels()
""" + TRITON.format(body="tl.store(y + i, tl.maximum(tl.load(x + i, i < n), 0.0), i < n)")
CALLED, RETURNED = "        y = torch.empty_like(x)", "        return y"


def test_a_triton_kernel_is_compiled_before_its_trial_and_not_again(evaluator):
    source = COUNTS_KERNELS.replace(RETURNED, f"        assert x.is_meta or had == kernels() == 1\n{RETURNED}")
    evaluation = one(evaluator, source)
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail


def test_a_kernel_that_depends_on_a_value_is_compiled_in_its_trial(evaluator):
    source = COUNTS_KERNELS.replace(CALLED, f"        assert x.sum().item() and not had\n{CALLED}")
    evaluation = one(evaluator, source)
    assert evaluation.outcome is Outcome.CORRECT, evaluation.detail


FAILURES = {
    "index out of range in torch": (
        TORCH.format(body="return x[torch.tensor([x.numel()], device=x.device)]"),
        Outcome.RUNTIME_ERROR,
        "device-side assert",
    ),
    "illegal address in Triton": (
        TRITON.format(body="tl.store(y + i + (1 << 40), 0.0)"),
        Outcome.RUNTIME_ERROR,
        "illegal memory access",
    ),
    "illegal address in CUDA": (
        CUDA.format(body="y[i + (1L << 40)] = 1;"),
        Outcome.RUNTIME_ERROR,
        "illegal memory access",
    ),
    "illegal address in load_inline": (
        LOAD_INLINE.format(body="y[i + (1L << 40)] = 1;"),
        Outcome.RUNTIME_ERROR,
        "illegal memory access",
    ),
    "device-side assert": (
        CUDA.replace("__global__", "#include <cassert>\n__global__").format(body="assert(i > 0);"),
        Outcome.RUNTIME_ERROR,
        "device-side assert",
    ),
    "trap": (CUDA.format(body="if (i == 0) __trap();"), Outcome.RUNTIME_ERROR, "launch failure"),
    "endless kernel": (
        CUDA.format(body="volatile float s = 0; while (i >= 0) s += 1; y[0] = s;"),
        Outcome.TIMEOUT,
        "no answer within",
    ),
    "out of device memory": (
        TORCH.format(body="return torch.empty(1 << 40, device='cuda')"),
        Outcome.RUNTIME_ERROR,
        "out of memory",
    ),
    "segmentation fault": (
        TORCH.format(body="import os; os.kill(os.getpid(), 11)"),
        Outcome.RUNTIME_ERROR,
        "SIGSEGV",
    ),
    "os._exit": (TORCH.format(body="import os; os._exit(3)"), Outcome.RUNTIME_ERROR, "exited with status 3"),
}


def test_crashes_are_told_apart_and_cost_their_own_candidate_only(evaluator):
    sources = [source for source, _, _ in FAILURES.values()]
    *failed, good = evaluator.evaluate(RELU, [*sources, GOOD])
    for name, evaluation in zip(FAILURES, failed, strict=True):
        _, outcome, said = FAILURES[name]
        assert evaluation.outcome is outcome, (name, evaluation.detail)
        assert said in evaluation.detail, (name, evaluation.detail)
    assert good.outcome is Outcome.CORRECT, good.detail


def mib_in_use(gpu):
    query = ["nvidia-smi", f"--id={gpu}", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(query, check=True, capture_output=True, text=True).stdout)


def test_a_judge_that_keeps_its_task_gives_its_memory_back_when_it_is_told_to():
    with Evaluator(device="cuda", protocol="fast", keep_task=True) as evaluator:
        gpu = evaluator.describe()["hardware"]["id"]
        assert one(evaluator, GOOD).outcome is Outcome.CORRECT
        kept_mib = mib_in_use(gpu)
        evaluator.release()
        # Twelve slots of 0.5 GB.
        assert mib_in_use(gpu) < kept_mib - 5000
        assert one(evaluator, GOOD).outcome is Outcome.CORRECT


def test_large_outputs_lie_in_one_allocation_once_memory_is_held_for_them():
    size = 3 << 20
    alone = [torch.empty(size * 8, dtype=torch.uint8, device="cuda") for _ in range(10)]
    assert len(cuda.exported(alone).handles) == 10
    del alone
    torch.cuda.empty_cache()
    cuda.hold_for([size] * 10)
    outputs = [torch.empty(size, dtype=torch.uint8, device="cuda") for _ in range(10)]
    assert len(cuda.exported(outputs).handles) == 1


def test_small_tensors_need_no_more_memory_once_it_is_held_for_them():
    torch.cuda.empty_cache()
    cuda.hold_for([100_000] * 100)
    held = cuda.held_bytes()
    assert held >= 100 * 100_000
    tensors = [torch.empty(100_000, dtype=torch.uint8, device="cuda") for _ in range(100)]
    assert len(tensors) == 100 and cuda.held_bytes() == held


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
            open("/usr/kernelbench-was-here", "w")
        except OSError as error:
            raise RuntimeError(f"errno {error.errno}")
        return torch.relu(x)"""
    )
    bad, good = evaluator.evaluate(RELU, [daemon, TORCH.format(body="return torch.relu(x)")])
    assert bad.outcome is Outcome.RUNTIME_ERROR
    # Which of the two depends on what the system looks at first: the folder's owner or the mount.
    assert bad.detail.startswith(("RuntimeError: errno 13 ", "RuntimeError: errno 30 "))
    assert good.outcome is Outcome.CORRECT, good.detail


def test_a_candidate_reaches_no_other_gpu_of_the_host(evaluator):
    counting = TORCH.format(
        body="""import glob, os
        ours = [each for each in glob.glob("/dev/nvidia[0-9]*") if os.major(os.stat(each).st_rdev) == 195]
        raise RuntimeError(f"reaches {len(ours)}")"""
    )
    evaluation = one(evaluator, counting)
    assert evaluation.outcome is Outcome.RUNTIME_ERROR
    assert evaluation.detail.startswith("RuntimeError: reaches 1 ")
