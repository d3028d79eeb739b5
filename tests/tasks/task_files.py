"""Task files as text, and what the tests of tasks ask of them."""

import pytest

from pytest_kernelbench.errors import TaskError
from pytest_kernelbench.tasks import load_tasks

TASK = """\
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x


N = 4096


def get_inputs():
    return [torch.rand(N)]


def get_init_inputs():
    return []
"""

ODDLY_FORMATTED = """\
import torch
class Model( torch.nn.Module ) :
\tdef forward( self , x ) : return "\\d"

stride      = 1 ;  dim= 1   # both of one
shape: tuple = (2,
                3)
a = b = 3  # chained
M, K = 4, 8

get_inputs = lambda: []
get_init_inputs = get_inputs
"""


def ids(tasks):
    return [task.id for task in tasks]


def refusal(selectors, **options):
    with pytest.raises(TaskError) as caught:
        load_tasks(selectors, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)
