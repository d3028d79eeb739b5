"""``python -m pytest_kernelbench check``: whether this machine has what a run needs, one line for each need."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pytest_kernelbench.commands.words import in_own_words
from pytest_kernelbench.errors import KernelBenchError, UsageError
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.device.traits import torch_name
from pytest_kernelbench.tasks import as_option, load_tasks

if TYPE_CHECKING:
    from pytest_kernelbench.policies import Policy
    from pytest_kernelbench.records import Task

SMALL_MODEL_TOKENS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check. ``remedy``: what to do if something is missing, else empty."""

    about: str
    answer: str
    remedy: str = ""

    def line(self) -> str:
        return f"{'ok ' if not self.remedy else 'NO '} {self.about:12} {self.answer}" + (
            f"; {self.remedy}" if self.remedy else ""
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="default: auto; cpu, cuda, or an extension's")
    parser.add_argument("--policy", default="tiny", help="as --policy of pytest")
    parser.add_argument("--tasks", default="level1:subset1", help="as --tasks of pytest")


def run(options: argparse.Namespace) -> None:
    """Print one line for each check when it is done. Raises UsageError with the number of failed checks, if any."""
    failed = checked = 0
    for finding in findings(options):
        print(finding.line(), flush=True)
        checked += 1
        failed += bool(finding.remedy)
    if failed:
        raise UsageError(f"{failed} of {checked} checks failed; the lines that begin with NO say what to do")


def findings(options: argparse.Namespace) -> Iterator[Finding]:
    """The results of all checks, in the order in which a run needs them, each as soon as it is known."""
    if not sys.platform.startswith("linux"):
        system = Finding(
            about="system",
            answer=sys.platform,
            remedy="candidates are judged on Linux only; replay, report, compare and export work here",
        )
        yield system
        yield from guarded("tasks", lambda: tasks_found(options.tasks))
        return
    yield from compilers()
    yield from guarded("device", lambda: device_and_sandbox(options.device))
    yield from guarded("tasks", lambda: tasks_found(options.tasks))
    yield from guarded("policy", lambda: policy_answers(options.policy, options.device, options.tasks))


def guarded(about: str, ask: Callable[[], list[Finding]]) -> list[Finding]:
    """The findings of ``ask``. An error of this package becomes a finding, since its message names the remedy.

    So does an error of the system about a file.
    """
    try:
        return ask()
    except KernelBenchError as error:
        return [Finding(about=about, answer="fails", remedy=in_own_words(str(error), add_arguments))]
    except OSError as error:
        if error.filename is None:
            raise
        remedy = f"{error.filename}: cannot be read ({error.strerror}); name another path"
        return [Finding(about=about, answer="fails", remedy=remedy)]


def compilers() -> list[Finding]:
    """Whether there are compilers: of C for candidates in C, nvcc for candidates in CUDA."""
    c = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    triton = find_spec("triton") is not None
    return [
        Finding(about="C compiler", answer=c or "none", remedy="" if c else "install cc, gcc or clang"),
        Finding(about="CUDA", answer=f"nvcc {nvcc or 'none'}, triton {'installed' if triton else 'none'}"),
    ]


def device_and_sandbox(device: str) -> list[Finding]:
    """The device and the sandbox, as an evaluator reports them when its processes have started."""
    from pytest_kernelbench.evaluation import Evaluator, resolve_device

    started = time.monotonic()
    with Evaluator(device=resolve_device(device, "--device"), protocol="fast") as evaluator:
        told = evaluator.describe()
    hardware, isolation = told["hardware"], told["isolation"]
    missing = [name for name, held in isolation.items() if not held and name not in ("signals", "cores", "group")]
    memory = f", {hardware['memory_bytes'] / 2**30:.0f} GiB" if hardware.get("memory_bytes") else ""
    return [
        Finding(
            about="device",
            answer=f"{told['device']}: {hardware['name']}{memory}, torch {hardware['torch']}, "
            f"judge ready in {time.monotonic() - started:.0f} s",
        ),
        Finding(
            about="sandbox",
            answer="network, files and processes are kept apart"
            if not missing
            else f"not kept apart: {', '.join(missing)}",
            # With a GPU there is no separate process namespace, because CUDA does not start in one.
            remedy="allow unprivileged user namespaces, or run in a container that does"
            if [name for name in missing if not (is_gpu(told["device"]) and name == "processes")]
            else "",
        ),
    ]


def tasks_found(selector: str) -> list[Finding]:
    """The number of tasks that the selector names."""
    tasks = load_tasks(selector, named=as_option)
    return [
        Finding(about="tasks", answer=f"{len(tasks)} named by {selector}: {tasks[0].short_id} to {tasks[-1].short_id}")
    ]


def policy_answers(spec: str, device: str, tasks: str) -> list[Finding]:
    """Whether the policy can be loaded, answers a task, and gives log-probabilities."""
    from pytest_kernelbench.evaluation import resolve_device
    from pytest_kernelbench.policies import check_policy, load_policy

    check_policy(spec)  # before the device, whose own line says what is wrong with it
    started = time.monotonic()
    policy = load_policy(spec, device=torch_name(resolve_device(device, "--device")))
    loaded = time.monotonic() - started
    return [
        Finding(
            about="policy", answer=f"{spec}, loaded in {loaded:.0f} s" + (f" ({policy.label})" if policy.label else "")
        ),
        _first_answer(policy, load_tasks(tasks, named=as_option)[0]),
    ]


def _first_answer(policy: Policy, task: Task) -> Finding:
    from pytest_kernelbench.strategy import Sampling

    sampling = Sampling(k=1, max_tokens=SMALL_MODEL_TOKENS)
    answers = list(policy.sample(task, sampling, seed=0, indices=[0]))
    if not answers:
        return Finding(about="answers", answer=f"none for {task.short_id}", remedy="record answers for this task")
    known = answers[0].sum_logprob is not None
    return Finding(
        about="answers",
        answer=f"{answers[0].n_tokens or 'some'} tokens, log-probabilities {'given' if known else 'not given'}",
        remedy="" if known else "strategies that rank by surprisal need them; random, best-of-64 and fastest do not",
    )
