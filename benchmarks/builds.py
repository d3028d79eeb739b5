"""Cold builds: candidates that compile CUDA C++ through ``load_inline``, on all cores, with nothing cached.

    python benchmarks/builds.py --device cuda --candidates 64 --json builds.jsonl

The candidates follow KernelBench's convention (a CUDA source, a C++ declaration, ``load_inline``) and no two compile
the same text: a row scaling (level1/12), a sum (level1/47) and a matrix product (level1/1), each with other block
sizes and unrolling. First the peer, PyTorch's own ``load_inline``, builds one of them with torch loaded and nothing
else to do; twice, because the first time compilers and headers come from the disk. Then another is evaluated alone,
twice; its build is what the first time took longer than the second, which finds it built. Then the rest, one request
a task, one line for each as it is ready. All caches are new folders.

Last: the wall time until every evaluation was in, the share of it that the device was in use (the stages load, check,
time and verify), and the ratio of the two builds that had the machine to themselves. On a CPU the candidates are C++,
of the first kind only. After ``--limit-s`` no further evaluation is waited for, and the figures hold for those that
are in.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from results import Limit, Results

from pytest_kernelbench.evaluation import Evaluator, reference_as_candidate
from pytest_kernelbench.evaluation.device.cpu import cores
from pytest_kernelbench.records import Evaluation, Task
from pytest_kernelbench.tasks import load_tasks

TRIAL = ("load", "check", "time", "attest")

MODULE = '''import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cuda_source = """
#include <torch/extension.h>
#include <cuda_runtime.h>

{source}"""
cpp_source = "{declaration}"

{name} = load_inline(
    name="{name}", cpp_sources=cpp_source, cuda_sources=cuda_source, functions=["{name}"], verbose=False
)


class ModelNew(nn.Module):
    def __init__(self{init}):
        super().__init__()

    def forward(self, {arguments}):
        return {name}.{name}({arguments})
'''
MODULE_CPU = '''import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cpp_source = """
{source}"""

{name} = load_inline(name="{name}", cpp_sources=cpp_source, functions=["{name}"], verbose=False)


class ModelNew(nn.Module):
    def forward(self, {arguments}):
        return {name}.{name}({arguments})
'''

SCALE_ROWS = """__global__ void scale_rows_kernel(const float *a, const float *b, float *c, long n, long m) {
    long begin = (blockIdx.x * (long)BLOCK + threadIdx.x) * EACH;
    #pragma unroll
    for (long i = begin; i < begin + EACH; i++) {
        if (i < n * m) {
            c[i] = a[i / m] * b[i];
        }
    }
}

torch::Tensor scale_rows(torch::Tensor a, torch::Tensor b) {
    auto c = torch::empty_like(b);
    long n = b.size(0), m = b.size(1);
    long blocks = (n * m + BLOCK * EACH - 1) / (BLOCK * EACH);
    scale_rows_kernel<<<blocks, BLOCK>>>(a.data_ptr<float>(), b.data_ptr<float>(), c.data_ptr<float>(), n, m);
    return c;
}
"""
SUM_ROWS = """__global__ void sum_rows_kernel(const float *x, float *y, long rows, long columns) {
    long column = blockIdx.x * (long)BLOCK + threadIdx.x;
    if (column >= columns) {
        return;
    }
    const float *start = x + blockIdx.y * rows * columns + column;
    double sums[EACH] = {};
    for (long row = 0; row < rows; row += EACH) {
        #pragma unroll
        for (int i = 0; i < EACH; i++) {
            sums[i] += row + i < rows ? start[(row + i) * columns] : 0.0f;
        }
    }
    double sum = 0.0;
    for (int i = 0; i < EACH; i++) {
        sum += sums[i];
    }
    y[blockIdx.y * columns + column] = sum;
}

torch::Tensor sum_rows(torch::Tensor x) {
    auto y = torch::empty({x.size(0), 1, x.size(2)}, x.options());
    dim3 blocks((x.size(2) + BLOCK - 1) / BLOCK, x.size(0));
    sum_rows_kernel<<<blocks, BLOCK>>>(x.data_ptr<float>(), y.data_ptr<float>(), x.size(1), x.size(2));
    return y;
}
"""
SQUARE_MATMUL = """__global__ void square_matmul_kernel(const float *a, const float *b, float *c, int n) {
    __shared__ float a_tile[ROWS * TILE][TILE];
    __shared__ float b_tile[TILE][TILE];
    int column = blockIdx.x * TILE + threadIdx.x;
    int row = blockIdx.y * TILE * ROWS + threadIdx.y;
    float sums[ROWS] = {};
    for (int k = 0; k < n; k += TILE) {
        for (int i = 0; i < ROWS; i++) {
            bool inside = row + i * TILE < n && k + threadIdx.x < n;
            a_tile[threadIdx.y + i * TILE][threadIdx.x] = inside ? a[(row + i * TILE) * n + k + threadIdx.x] : 0.0f;
        }
        b_tile[threadIdx.y][threadIdx.x] = k + threadIdx.y < n && column < n ? b[(k + threadIdx.y) * n + column] : 0.0f;
        __syncthreads();
        #pragma unroll EACH
        for (int j = 0; j < TILE; j++) {
            for (int i = 0; i < ROWS; i++) {
                sums[i] += a_tile[threadIdx.y + i * TILE][j] * b_tile[j][threadIdx.x];
            }
        }
        __syncthreads();
    }
    for (int i = 0; i < ROWS; i++) {
        if (row + i * TILE < n && column < n) {
            c[(row + i * TILE) * n + column] = sums[i];
        }
    }
}

torch::Tensor square_matmul(torch::Tensor a, torch::Tensor b) {
    int n = a.size(0);
    auto c = torch::empty_like(a);
    dim3 blocks((n + TILE - 1) / TILE, (n + TILE * ROWS - 1) / (TILE * ROWS));
    dim3 threads(TILE, TILE);
    square_matmul_kernel<<<blocks, threads>>>(a.data_ptr<float>(), b.data_ptr<float>(), c.data_ptr<float>(), n);
    return c;
}
"""
SCALE_ROWS_CPU = """torch::Tensor scale_rows(torch::Tensor a, torch::Tensor b) {
    auto c = torch::empty_like(b);
    long n = b.size(0), m = b.size(1);
    const float *from = b.data_ptr<float>();
    float *to = c.data_ptr<float>();
    for (long i = 0; i < n; i++) {
        float factor = a.data_ptr<float>()[i];
        for (long begin = 0; begin < m; begin += BLOCK) {
            for (long j = begin; j < begin + BLOCK && j < m; j += EACH) {
                for (long k = j; k < j + EACH && k < m; k++) {
                    to[i * m + k] = factor * from[i * m + k];
                }
            }
        }
    }
    return c;
}
"""
THREADS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
UNROLLED = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """A kernel for one task; each combination of ``constants`` makes a candidate of its own."""

    task: str
    name: str
    source: str
    constants: dict[str, tuple[int, ...]]
    arguments: tuple[str, ...]
    init: str = ""
    module: str = MODULE

    def candidates(self) -> list[str]:
        """Module texts, in a fixed random order."""
        tensors = ", ".join(f"torch::Tensor {each}" for each in self.arguments)
        texts = []
        for values in itertools.product(*self.constants.values()):
            lines = [f"constexpr int {name} = {value};\n" for name, value in zip(self.constants, values, strict=True)]
            texts.append(
                self.module.format(
                    source="".join(lines) + "\n" + self.source,
                    declaration=f"torch::Tensor {self.name}({tensors});",
                    name=self.name,
                    arguments=", ".join(self.arguments),
                    init=self.init and f", {self.init}",
                )
            )
        random.Random(0).shuffle(texts)
        return texts


KINDS = {
    "cuda": (
        Kind(
            task="level1/12",
            name="scale_rows",
            source=SCALE_ROWS,
            constants={"BLOCK": THREADS, "EACH": UNROLLED},
            arguments=("a", "b"),
        ),
        Kind(
            task="level1/47",
            name="sum_rows",
            source=SUM_ROWS,
            constants={"BLOCK": THREADS, "EACH": UNROLLED},
            arguments=("x",),
            init="dim",
        ),
        Kind(
            task="level1/1",
            name="square_matmul",
            source=SQUARE_MATMUL,
            constants={"TILE": (8, 16, 32), "ROWS": (1, 2, 4), "EACH": UNROLLED},
            arguments=("a", "b"),
        ),
    ),
    "cpu": (
        Kind(
            task="level1/12",
            name="scale_rows",
            source=SCALE_ROWS_CPU,
            constants={"BLOCK": THREADS, "EACH": UNROLLED},
            arguments=("a", "b"),
            module=MODULE_CPU,
        ),
    ),
}
# Torch is loaded before the clock starts: what is measured is the build.
BUILD_AS_PEER = "import sys, time, torch; t = time.perf_counter(); exec(open(sys.argv[1]).read(), {}); "
BUILD_AS_PEER += "print(time.perf_counter() - t)"


def peer_build_s(source: str) -> float:
    """Seconds of PyTorch's own ``load_inline`` for one candidate. Raises CalledProcessError, with its words shown."""
    with tempfile.TemporaryDirectory(prefix="peer-") as folder:
        text = Path(folder, "candidate.py")
        text.write_text(source)
        environment = {**os.environ, "TORCH_EXTENSIONS_DIR": str(Path(folder, "builds"))}
        command = [sys.executable, "-c", BUILD_AS_PEER, str(text)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def in_use_s(evaluation: Evaluation) -> float:
    """Seconds for which the device was this candidate's."""
    return sum(evaluation.seconds.get(stage, 0.0) for stage in TRIAL)


def shares(candidates: int, kinds: Sequence[Kind]) -> dict[Kind, list[str]]:
    """Candidates for each kind, in nearly equal numbers. Raises ValueError for more than there are."""
    shared = {}
    for number, kind in enumerate(kinds):
        texts = kind.candidates()
        count = len(range(number, candidates, len(kinds)))
        if count > len(texts):
            raise ValueError(f"--candidates: {kind.name} has {len(texts)} texts, {count} were asked for")
        shared[kind] = texts[:count]
    return shared


def build_alone_s(evaluator: Evaluator, task: Task, source: str, results: Results) -> float:
    """What the build of one candidate adds to its evaluation."""
    # The first request also pays for the device's context.
    list(evaluator.evaluate(task, [reference_as_candidate(task)]))
    walls_s = []
    for what in ("cold", "cached"):
        started = time.perf_counter()
        (evaluation,) = evaluator.evaluate(task, [source])
        walls_s.append(time.perf_counter() - started)
        print(f"here, {what}: {walls_s[-1]:.1f} s with its trial, {said(evaluation)}", flush=True)
        results.add([{"what": what, "wall_s": walls_s[-1], **evaluation.to_json()}])
    return walls_s[0] - walls_s[1]


def evaluate_together(
    evaluator: Evaluator, shared: dict[Kind, list[str]], tasks: dict[Kind, Task], results: Results, limit: Limit
) -> tuple[list[Evaluation], float]:
    """Evaluations of all candidates, or of those that are in when the time is over, and the wall seconds."""
    started = time.perf_counter()
    evaluations: list[Evaluation] = []
    for kind, sources in shared.items():
        if limit.over:
            break
        for each in evaluator.evaluate(tasks[kind], sources):
            at_s = time.perf_counter() - started
            evaluations.append(each)
            print(f"{at_s:6.1f} s  {kind.name} #{len(evaluations)}  {said(each)}", flush=True)
            results.add([{"what": "together", "kind": kind.name, "at_s": at_s, **each.to_json()}])
            if limit.over:
                break
    return evaluations, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--sizes", choices=["full", "small"])
    parser.add_argument("--candidates", type=int, default=64)
    parser.add_argument("--kinds", help="some of scale_rows, sum_rows, square_matmul; default: all")
    parser.add_argument("--protocol", default="fast")
    parser.add_argument(
        "--peer-builds", type=int, default=2, help="builds by load_inline, of which the shortest counts"
    )
    parser.add_argument("--limit-s", type=float, help="wait for nothing more after so many seconds")
    parser.add_argument("--json", type=Path, help="add rows to this file")
    options = parser.parse_args()
    limit = Limit(options.limit_s)

    with (
        tempfile.TemporaryDirectory(prefix="builds-") as cache,
        Evaluator(device=options.device, protocol=options.protocol, cache=Path(cache)) as evaluator,
    ):
        hardware, device = evaluator.describe()["hardware"]["name"], evaluator.device
        results = Results(options.json, hardware=hardware)
        names = options.kinds.split(",") if options.kinds else [kind.name for kind in KINDS[device]]
        kinds = [kind for kind in KINDS[device] if kind.name in names]
        if not kinds:
            parser.error(f"--kinds={options.kinds}: none of {', '.join(kind.name for kind in KINDS[device])}")
        sizes = options.sizes or ("full" if device == "cuda" else "small")
        tasks = {kind: load_tasks(kind.task, sizes=sizes)[0] for kind in kinds}
        shared = shares(options.candidates + 1, kinds)
        alone = shared[kinds[0]].pop()
        print(f"{hardware}, {cores()} cores, {options.candidates} candidates: {', '.join(names)}", flush=True)

        peers_s = []
        for number in range(options.peer_builds):
            peers_s.append(peer_build_s(kinds[0].candidates()[-1 - number]))
            print(f"peer: load_inline alone, {peers_s[-1]:.1f} s", flush=True)
            results.add([{"what": "peer", "build_s": peers_s[-1]}])
        alone_s = build_alone_s(evaluator, tasks[kinds[0]], alone, results)
        evaluations, wall_s = evaluate_together(evaluator, shared, tasks, results, limit)

    outcomes = Counter(each.outcome.value for each in evaluations)
    print(f"\n{len(evaluations)} of {options.candidates} evaluations in {wall_s:.0f} s on {cores()} cores")
    print(", ".join(f"{count} {name}" for name, count in outcomes.most_common()))
    print(f"device in use: {sum(map(in_use_s, evaluations)) / wall_s:.0%} of that time")
    if peers_s:
        peer_s = min(peers_s)
        print(f"one cold build: {peer_s:.1f} s by load_inline, {alone_s:.1f} s here, {alone_s / peer_s:.2f} of it")


def said(evaluation: Evaluation) -> str:
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in evaluation.seconds.items())
    speedup = "" if evaluation.speedup is None else f" {evaluation.speedup:.2f}x"
    return f"{evaluation.outcome.value}{speedup} ({stages}) {evaluation.detail[:120]}".rstrip()


if __name__ == "__main__":
    main()
