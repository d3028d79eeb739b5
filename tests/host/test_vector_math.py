"""The first ``exp`` of a forked process is as precise as the next; tested in new processes, since it happens once."""

import subprocess
import sys

import pytest

FORKS = """
import os, sys

import torch

from pytest_kernelbench.host import vector_math

torch.set_num_threads(1)
values = torch.rand(1 << 13)
vector_math.make_ready()
due = values.exp()
wrong = 0
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        torch.set_num_threads(2)
        values + values  # the threads start
        os._exit(not torch.equal(values.exp(), due))
    wrong += os.waitpid(child, 0)[1] != 0
print(wrong)
"""


# Without ``make_ready``, one fork in about 20 is not, where both cores are free: of 60 one at least in 95 % of runs.
@pytest.mark.parametrize("forks", [60, pytest.param(150, marks=pytest.mark.slow)])
def test_the_first_exp_of_a_fork_is_as_precise_as_the_next(forks):
    assert subprocess.check_output([sys.executable, "-c", FORKS, str(forks)], text=True) == "0\n"
