"""Small tasks, and candidates spelled in one line each."""

from textwrap import indent

from pytest_kernelbench.records import Task

TASK = """
import torch
import torch.nn as nn

class Model(nn.Module):
{model}

n = {n}

def get_inputs():
    return [{inputs}]

def get_init_inputs():
    return [{init}]
"""


def task(name: str, model: str, *, inputs: str, init: str = "", n: int = 300_000) -> Task:
    """A task around the body of a ``Model``."""
    return Task(id=f"made_up/{name}", source=TASK.format(model=indent(model, "    "), inputs=inputs, init=init, n=n))


RELU = task("1_relu", "def forward(self, x):\n    return torch.relu(x)", inputs="torch.rand(n)")
ROW_SUM = task("2_row_sum", "def forward(self, x):\n    return x.sum(dim=1)", inputs="torch.rand(300, n)", n=1000)
PRODUCT = "def forward(self, a, b):\n    return a @ b"
SQUARES = "torch.rand(n, n), torch.rand(n, n)"
MATMUL = task("3_matmul", PRODUCT, inputs=SQUARES, n=256)
LARGE_MATMUL = task("4_large_matmul", PRODUCT, inputs=SQUARES, n=512)


def candidate(body: str, *, preamble: str = "", arguments: str = "x") -> str:
    """A module whose ``ModelNew.forward`` is ``body``."""
    return (
        f"import os, time\nimport torch\n{preamble}\n\nclass ModelNew(torch.nn.Module):\n"
        f"    def forward(self, {arguments}):\n{indent(body, '        ')}\n"
    )


# Slower than the reference, so that no noise of a busy machine raises the question whether it is too fast.
HONEST_RELU = candidate("torch.relu(x + 0)\nreturn torch.clamp(x, min=0)")

C_RELU = candidate(
    "y = torch.empty_like(x)\nkernel(x, y, x.numel())\nreturn y",
    preamble='''
from pytest_kernelbench.inline import compile_c

kernel = compile_c("""
void kernel(const float *x, float *y, long n) {
    for (int again = 0; again < 2; again++)
        for (volatile long i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;
}
""")
''',
)
