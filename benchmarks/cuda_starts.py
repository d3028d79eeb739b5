"""What a worker's CUDA costs: its start, opening the judge's memory, its end; alone and beside another GPU's workers.

    python benchmarks/cuda_starts.py --repeats 8

A start is a fork of a process that has imported torch, as a worker's is. Opened are 40 GB that another process, as
the judge does, has allocated on the same GPU; the end is from SIGKILL until the process is reaped. For the second
column, workers start and end on a second GPU of the host all the while: whatever takes longer there, two GPUs share.

One line a step, medians in milliseconds.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from statistics import median
from typing import Any

import torch

from pytest_kernelbench.evaluation.device.cuda_memory import CudaMemory
from pytest_kernelbench.evaluation.device.shared import describe_memory
from pytest_kernelbench.host.gpus import visible_gpus

FORK = get_context("fork")
SHARED_BYTES = 40 << 30
# One start on the other GPU is over, and the next has begun.
NEIGHBOUR_STARTS_S = 3.0


def hold_memory(gpu: str, owner: Connection) -> None:
    """Allocate what a worker opens, tell where it is, and keep it until the owner ends."""
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    owner.send(describe_memory(CudaMemory.create(SHARED_BYTES)))
    owner.poll(None)


def start(gpu: str, memory: dict[str, Any], owner: Connection) -> None:
    """Start CUDA as a worker does, tell the milliseconds by step, and wait to be killed."""
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    driver = ctypes.CDLL("libcuda.so.1")
    ms: dict[str, float] = {}

    @contextmanager
    def step(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        ms[name] = (time.perf_counter() - started) * 1e3

    with step("cuInit"):
        assert driver.cuInit(0) == 0
    with step("the primary context"):
        assert driver.cuDevicePrimaryCtxRetain(ctypes.byref(ctypes.c_void_p()), 0) == 0
    with step("what torch does then"):
        torch.cuda.init()
        torch.zeros(1, device="cuda")
        torch.cuda.synchronize()
    with step("opening 40 GB of another process"):
        CudaMemory.opened(memory["name"], memory["size"])
    with step("asking how much memory is free"):
        torch.cuda.mem_get_info()
    owner.send(ms)
    owner.poll(None)


def start_and_end(gpu: str, memory: dict[str, Any]) -> dict[str, float]:
    """One worker's life: milliseconds by step."""
    ours, theirs = FORK.Pipe()
    worker = FORK.Process(target=start, args=(gpu, memory, theirs))
    worker.start()
    theirs.close()
    ms = ours.recv()
    killed = time.perf_counter()
    worker.kill()
    worker.join()
    return ms | {"its end": (time.perf_counter() - killed) * 1e3}


@contextmanager
def held_memory(gpu: str) -> Iterator[dict[str, Any]]:
    """The description of memory that another process holds."""
    ours, theirs = FORK.Pipe()
    judge = FORK.Process(target=hold_memory, args=(gpu, theirs))
    judge.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        judge.kill()
        judge.join()


def keep_starting(gpu: str, enough: Event) -> None:
    with held_memory(gpu) as memory:
        while not enough.is_set():
            start_and_end(gpu, memory)


def medians(gpu: str, repeats: int) -> dict[str, float]:
    with held_memory(gpu) as memory:
        # The first finds libraries on the disk.
        lives = [start_and_end(gpu, memory) for _ in range(1 + repeats)][1:]
    return {step: median(life[step] for life in lives) for step in lives[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=8)
    options = parser.parse_args()
    gpus = visible_gpus(os.environ)
    if not gpus:
        parser.error("no GPU is visible; run it where `nvidia-smi -L` names one, or two")
    gpu, *others = gpus

    columns = {"alone": medians(gpu, options.repeats)}
    if others:
        enough = FORK.Event()
        neighbour = FORK.Process(target=keep_starting, args=(others[0], enough))
        neighbour.start()
        time.sleep(NEIGHBOUR_STARTS_S)
        columns["beside"] = medians(gpu, options.repeats)
        enough.set()
        neighbour.join()

    print(f"{'ms':36}" + "".join(f"{name:>9}" for name in columns))
    for step in columns["alone"]:
        print(f"{step:36}" + "".join(f"{column[step]:9.2f}" for column in columns.values()))


if __name__ == "__main__":
    main()
