"""All threads of the worker are sent to one core, at the lowest priority, when the candidate's call ends."""

TASK = "matmul"
DEVICE = "cpu"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import os

import torch
from torch import nn

cores = os.sched_getaffinity(0)

def threads_to(allowed, policy):
    for thread in map(int, os.listdir("/proc/self/task")):
        try:
            os.sched_setaffinity(thread, allowed)
            os.sched_setscheduler(thread, policy, os.sched_param(0))
        except OSError:
            pass

class ModelNew(nn.Module):
    def forward(self, a, b):
        threads_to(cores, os.SCHED_OTHER)
        y = a @ b
        threads_to({min(cores)}, os.SCHED_IDLE)
        return y
"""

HONEST = """
import os

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        os.sched_setaffinity(0, os.sched_getaffinity(0))
        return torch.mm(a, b)
"""
