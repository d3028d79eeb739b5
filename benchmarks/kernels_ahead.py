"""What is there to gain by compiling Triton kernels ahead of trials, and whether a second process compiles them again.

    python benchmarks/kernels_ahead.py --tasks level1:eval --kernels 2

It needs Triton and no GPU. Each Triton candidate of the tiny policy's corpus is called on tensors without memory in a
process forked from one that has made Triton ready, as a builder is, for a GPU of ``--architecture``; then in another,
with what the first one packed. One line for each: the seconds of both, the kernels, and how many the second compiled;
then the sums.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from corpus_candidates import Mix, candidates_for

from pytest_kernelbench.evaluation.worker import kernels
from pytest_kernelbench.records import Task
from pytest_kernelbench.tasks import load_tasks

FORK = multiprocessing.get_context("fork")


class Compiled(NamedTuple):
    """``before`` the call, and after it."""

    seconds: float
    before: int
    after: int


def compiled(folder: Path, task_source: str, candidate: Path, architecture: str, archive: Path) -> Compiled:
    """In this process, with what ``archive`` holds; from then on it holds what there is now."""
    os.environ["TRITON_CACHE_DIR"] = str(folder)
    kernels.unpack(archive, folder)
    before = len(list(folder.glob("*/*.cubin")))
    started = time.perf_counter()
    kernels.compile_launched(architecture, partial(kernels.call_on_nothing, task_source, candidate))
    seconds = time.perf_counter() - started
    kernels.pack(folder, archive)
    return Compiled(seconds, before, len(list(folder.glob("*/*.cubin"))))


def twice(task: Task, source: str, architecture: str) -> Iterator[Compiled]:
    """In one process, and in another that has what the first one packed."""
    with tempfile.TemporaryDirectory() as name:
        candidate = Path(name, "candidate.py")
        candidate.write_text(source)
        for turn in ("first", "second"):
            with FORK.Pool(1) as pool:
                arguments = Path(name, turn), task.source, candidate, architecture, Path(name, "kernels.zip")
                yield pool.apply(compiled, arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="level1:eval")
    parser.add_argument("--kernels", type=int, default=2, help="correct ones of a task; and one that is not")
    parser.add_argument("--architecture", default="9.0")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if importlib.util.find_spec("triton") is None:
        parser.error("there is no Triton to compile with; pip install triton")
    from pytest_kernelbench.evaluation.building import triton_ready

    ready = tempfile.TemporaryDirectory()
    triton_ready.make_ready(Path(ready.name))
    rows: list[tuple[Compiled, Compiled]] = []
    mix = Mix(torch=0, kernels=options.kernels, wrong=1, languages=["triton"])
    for task in load_tasks(options.tasks):
        candidates = candidates_for(task, mix, device="cuda", seed=options.seed)
        for each in candidates:
            if each.language == "triton":
                first, second = twice(task, each.source, options.architecture)
                rows.append((first, second))
                print(
                    f"{each.name:32} {first.seconds:6.2f} s, {first.after} kernels; again {second.seconds:.2f} s, "
                    f"{second.after - second.before} compiled",
                    flush=True,
                )
    ahead, again = zip(*rows, strict=True)
    print(
        f"{len(rows)} candidates, {sum(each.after > 0 for each in ahead)} compiled ahead in "
        f"{sum(each.seconds for each in ahead):.1f} s; again in {sum(each.seconds for each in again):.1f} s, "
        f"{sum(each.after - each.before for each in again)} kernels compiled"
    )


if __name__ == "__main__":
    main()
