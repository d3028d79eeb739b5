"""``python -m pytest_kernelbench tasks``: the tasks that a selector names, and whether they can be judged."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_kernelbench.commands.words import in_own_words
from pytest_kernelbench.errors import HarnessError, UsageError
from pytest_kernelbench.evaluation.device.names import sizes_on
from pytest_kernelbench.records import Task
from pytest_kernelbench.registries import PRECISIONS
from pytest_kernelbench.tasks import as_option, load_tasks
from pytest_kernelbench.tasks.findings import TaskFindings

# The tasks are no option here.
OTHER_NAMES = {"--tasks": ""}
# Without --check no task is run, and none has a size.
NEED_CHECK = ("device", "precision", "sizes", "small")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tasks", nargs="+", metavar="TASKS", help="as --tasks of pytest: level1, level2/7, a path, hf")
    parser.add_argument(
        "--check",
        action="store_true",
        help="run each reference, and print what was found; the exit status is 4 if one cannot be used",
    )
    parser.add_argument("--device", help="default: auto; cpu, cuda, or an extension's")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: float32")
    parser.add_argument("--sizes", choices=("auto", "full", "small"), help="default: auto, which is full on a GPU")
    parser.add_argument("--small", type=Path, metavar="FILE", help="a TOML file of small sizes, as --kernelbench-small")


def run(options: argparse.Namespace) -> None:
    """Print one line for each task. With ``--check``, raises UsageError if a reference cannot be used."""
    if not options.check:
        for name in NEED_CHECK:
            if (value := getattr(options, name)) is not None:
                raise UsageError(f"--{name}={value}: does nothing without --check; add it, or leave out --{name}")
        for task in load_tasks(options.tasks, named=as_option):
            print(task.id)
        return
    from pytest_kernelbench.evaluation import resolve_device

    device = resolve_device(options.device or "auto", "--device")
    # By default the sizes that a run on this device has.
    sizes = sizes_on(device) if options.sizes in (None, "auto") else options.sizes
    tasks = load_tasks(options.tasks, sizes=sizes, small=options.small, named=as_option)
    refused = 0
    for line, is_refused in checked(tasks, device=device, precision=options.precision or "float32"):
        print(in_own_words(line, add_arguments, OTHER_NAMES), flush=True)
        refused += is_refused
    if refused:
        raise UsageError(f"{refused} of {len(tasks)} tasks cannot be judged; the lines that begin with NO say why")


def checked(tasks: list[Task], *, device: str, precision: str):  # type: ignore[no-untyped-def]
    """For each task a line, and whether its reference is refused (no candidate can be judged by it)."""
    from pytest_kernelbench.evaluation import Evaluator

    with Evaluator(device=device, protocol="fast", precision=precision) as evaluator:
        for task in tasks:
            try:
                findings = evaluator.look_at(task)
            except HarnessError as error:
                yield f"NO  {task.short_id:12} {error}", True
            else:
                yield line_of(task, findings), findings.refused is not None


def line_of(task: Task, findings: TaskFindings) -> str:
    """One line, as in ``ok  level1/19     0.1 ms a call, 8.4 MB``, followed by remarks if there are any."""
    if findings.refused is not None:
        return f"NO  {task.short_id:12} {findings.refused}"
    measured = []
    if findings.seconds_per_call is not None:
        measured.append(f"{findings.seconds_per_call * 1e3:.3g} ms for the first call")
    if findings.n_bytes is not None:
        measured.append(f"{findings.n_bytes / 1e6:.3g} MB")
    # A task whose speed-ups do not count needs attention. A kind of inputs that it is not defined on does not.
    mark = "-- " if findings.uncounted_because or findings.writes_inputs else "ok "
    return f"{mark} {task.short_id:12} {', '.join(measured)}{''.join(f'; {each}' for each in findings.remarks)}"
