"""The tasks of the adversarial tests: small, so that a trial takes a fraction of a second on two cores."""

from pytest_kernelbench.records import Task

_SOURCE = """
import torch
import torch.nn as nn

{constants}


class Model(nn.Module):
    def forward(self, {arguments}):
        return {result}


def get_inputs():
    return [{inputs}]


def get_init_inputs():
    return []
"""


def _task(number: int, name: str, *, constants: str, arguments: str, result: str, inputs: str) -> Task:
    source = _SOURCE.format(constants=constants, arguments=arguments, result=result, inputs=inputs)
    return Task(id=f"adversarial/{number}_{name}", source=source)


TASKS = {
    "relu": _task(
        1,
        "relu",
        constants="ROWS, COLUMNS = 2048, 1024",
        arguments="x",
        result="torch.relu(x)",
        inputs="torch.rand(ROWS, COLUMNS)",
    ),
    "softmax": _task(
        2,
        "softmax",
        constants="ROWS, COLUMNS = 512, 4096",
        arguments="x",
        result="torch.softmax(x, dim=1)",
        inputs="torch.rand(ROWS, COLUMNS)",
    ),
    "row_sum": _task(
        3,
        "row_sum",
        constants="ROWS, COLUMNS = 4096, 1024",
        arguments="x",
        result="x.sum(dim=1)",
        inputs="torch.rand(ROWS, COLUMNS)",
    ),
    "matmul": _task(
        4,
        "matmul",
        constants="N = 384",
        arguments="a, b",
        result="a @ b",
        inputs="torch.rand(N, N), torch.rand(N, N)",
    ),
    "mean_of_squares": _task(
        5,
        "mean_of_squares",
        constants="N = 1 << 21",
        arguments="x",
        result="(x * x).mean()",
        inputs="torch.rand(N)",
    ),
}
