"""How much of what varies lies between tasks, between the programs of a task, and between seeds of one program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

Nested = Mapping[str, Mapping[str, Sequence[float]]]  # task, program, a value for each seed


class Components(NamedTuple):
    """Variances of ``value = mean + task + program of the task + seed``; None where nothing tells one from the next."""

    task: float | None
    program: float | None
    seed: float | None


def components(values: Nested) -> Components:
    """By the method of moments for nested groups of unequal size; what comes out under 0 is 0.

    Programs with one seed say nothing of seeds: then ``seed`` is None and is contained in ``program``.
    Source: Searle, Casella and McCulloch, Variance Components (1992), section 5.3.
    """
    programs = [(task, list(each)) for task, of_task in values.items() for each in of_task.values() if len(each)]
    n, p, t = sum(len(each) for _, each in programs), len(programs), len({task for task, _ in programs})
    if n == 0:
        return Components(None, None, None)
    of_task: dict[str, list[list[float]]] = {}
    for task, each in programs:
        of_task.setdefault(task, []).append(each)
    size_T = {task: sum(map(len, each)) for task, each in of_task.items()}
    mean_T = {task: sum(map(sum, each)) / size_T[task] for task, each in of_task.items()}
    grand = sum(map(sum, (each for _, each in programs))) / n
    within = sum((x - sum(each) / len(each)) ** 2 for _, each in programs for x in each)
    between = sum(len(each) * (sum(each) / len(each) - mean_T[task]) ** 2 for task, each in programs)
    among = sum(size_T[task] * (mean_T[task] - grand) ** 2 for task in of_task)
    by_size = sum(len(each) ** 2 / size_T[task] for task, each in programs)
    squares = sum(len(each) ** 2 for _, each in programs) / n
    seed = within / (n - p) if n > p else None
    program = None
    if p > t:
        program = max(0.0, (between / (p - t) - (seed or 0.0)) / ((n - by_size) / (p - t)))
    task_variance = None
    if t > 1 and program is not None:
        taken_off = (seed or 0.0) + (by_size - squares) / (t - 1) * program
        task_variance = max(
            0.0, (among / (t - 1) - taken_off) / ((n - sum(s**2 for s in size_T.values()) / n) / (t - 1))
        )
    return Components(task=task_variance, program=program, seed=seed)
