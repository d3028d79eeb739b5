"""A task with a reference of one line."""

from pytest_kernelbench.records import Task

REFERENCE = '''\
import torch
import torch.nn as nn


class Model(nn.Module):
    """Adds."""

    def forward(self, a: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
        return a * scale


def get_inputs():
    return [torch.rand(4)]
'''
TASK = Task(id="level1/7_Scale", source=REFERENCE)
