"""The tasks of the adversarial tests.

On a CPU they are small, so that a trial takes a fraction of a second on two cores. On a GPU a call takes 0.1 to 1 ms
on an H100, except in the tasks called short, where what is hidden hides in the time that launching takes, and in the
longest, where that time counts for little.
"""

from collections.abc import Mapping
from dataclasses import replace

from pytest_kernelbench.records import Task

_SOURCE = """
import torch
import torch.nn as nn

{constants}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        {init}

    def forward(self, {arguments}):
        return {result}


def get_inputs():
    return [{inputs}]


def get_init_inputs():
    return []
"""


def _task(
    number: int,
    name: str,
    *,
    sizes: Mapping[str, int],
    on_cuda: Mapping[str, int],
    **code: str,
) -> dict[str, Task]:
    """A task by device. ``code``: the ``arguments``, ``result``, ``inputs`` and, if it has any, the ``init`` of it."""
    constants = "\n".join(f"{constant} = {size}" for constant, size in sizes.items())
    source = _SOURCE.format(constants=constants, **{"init": "pass", **code})
    task = Task(id=f"adversarial/{number}_{name}", source=source)
    return {"cpu": task, "cuda": replace(task, sizes=on_cuda)}


# By name, then by device.
TASKS = {
    "relu": _task(
        1,
        "relu",
        sizes={"ROWS": 2048, "COLUMNS": 1024},
        on_cuda={"ROWS": 16384, "COLUMNS": 4096},
        arguments="x",
        result="torch.relu(x)",
        inputs="torch.rand(ROWS, COLUMNS)",
    ),
    "softmax": _task(
        2,
        "softmax",
        sizes={"ROWS": 512, "COLUMNS": 4096},
        on_cuda={"ROWS": 4096, "COLUMNS": 16384},
        arguments="x",
        result="torch.softmax(x, dim=1)",
        inputs="torch.rand(ROWS, COLUMNS)",
    ),
    "row_sum": _task(
        3,
        "row_sum",
        sizes={"ROWS": 4096, "COLUMNS": 1024},
        on_cuda={"ROWS": 65536, "COLUMNS": 1024},
        arguments="x",
        result="x.sum(dim=1)",
        inputs="torch.rand(ROWS, COLUMNS)",
    ),
    "matmul": _task(
        4,
        "matmul",
        sizes={"N": 384},
        on_cuda={"N": 2048},
        arguments="a, b",
        result="a @ b",
        inputs="torch.rand(N, N), torch.rand(N, N)",
    ),
    "mean_of_squares": _task(
        5,
        "mean_of_squares",
        sizes={"N": 1 << 21},
        on_cuda={"N": 1 << 27},
        arguments="x",
        result="(x * x).mean()",
        inputs="torch.rand(N)",
    ),
    "short_matmul": _task(
        6,
        "short_matmul",
        sizes={"N": 128},
        on_cuda={"N": 1024},
        arguments="a, b",
        result="a @ b",
        inputs="torch.rand(N, N), torch.rand(N, N)",
    ),
    "launches": _task(
        15,
        "launches",
        sizes={"ROWS": 32, "COLUMNS": 1024},
        on_cuda={"ROWS": 32, "COLUMNS": 1024},
        arguments="x",
        result="torch.tanh(torch.relu(x) + x) * x",
        inputs="torch.rand(ROWS, COLUMNS)",
    ),
    "short_relu": _task(
        7,
        "short_relu",
        sizes={"ROWS": 256, "COLUMNS": 1024},
        on_cuda={"ROWS": 4096, "COLUMNS": 4096},
        arguments="x",
        result="torch.relu(x)",
        inputs="torch.rand(ROWS, COLUMNS)",
    ),
    "large_matmul": _task(
        8,
        "large_matmul",
        sizes={"N": 512},
        on_cuda={"N": 3072},
        arguments="a, b",
        result="a @ b",
        inputs="torch.rand(N, N), torch.rand(N, N)",
    ),
    "convolution": _task(
        9,
        "convolution",
        sizes={"IMAGES": 2, "CHANNELS": 16, "WIDTH": 32},
        on_cuda={"IMAGES": 32, "CHANNELS": 64, "WIDTH": 112},
        arguments="x, weight",
        result="nn.functional.conv2d(x, weight)",
        inputs="torch.rand(IMAGES, CHANNELS, WIDTH, WIDTH), torch.rand(CHANNELS, CHANNELS, 3, 3)",
    ),
    "softsign": _task(
        10,
        "softsign",
        sizes={"ROWS": 1024, "COLUMNS": 1024},
        on_cuda={"ROWS": 65536, "COLUMNS": 8192},
        arguments="x",
        result="x / (1 + torch.abs(x))",
        inputs="torch.rand(ROWS, COLUMNS)",
    ),
    "negation": _task(
        11,
        "negation",
        sizes={"ROWS": 2048, "COLUMNS": 1024},
        on_cuda={"ROWS": 16384, "COLUMNS": 4096},
        arguments="x",
        result="-x",
        inputs="torch.rand(ROWS, COLUMNS)",
    ),
    "repetition": _task(
        12,
        "repetition",
        sizes={"ROWS": 2048, "COLUMNS": 1024},
        on_cuda={"ROWS": 16384, "COLUMNS": 4096},
        arguments="x",
        result="x.repeat(1, COLUMNS)",
        inputs="torch.rand(ROWS, 1)",
    ),
    "transposition": _task(
        13,
        "transposition",
        sizes={"ROWS": 2048, "COLUMNS": 1024},
        on_cuda={"ROWS": 16384, "COLUMNS": 4096},
        arguments="x",
        result="x.t().contiguous()",
        inputs="torch.rand(ROWS, COLUMNS)",
    ),
    "linear": _task(
        14,
        "linear",
        sizes={"ROWS": 2, "N": 2048},
        on_cuda={"ROWS": 2, "N": 8192},
        arguments="x",
        result="self.linear(x)",
        inputs="torch.rand(ROWS, N)",
        init="self.linear = nn.Linear(N, N)",
    ),
}
