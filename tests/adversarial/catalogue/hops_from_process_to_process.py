"""A child that forks the next one and ends, without end: no look at the living processes finds it where it was."""

TASK = "matmul"
DEVICE = "cpu"
OUTCOMES = {"not_fast", "void", "runtime_error"}

CHEAT = """
import os

import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

hop = compile_c('''
#include <time.h>
#include <unistd.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }
void kernel(long unused) {
    if (fork()) return;
    for (;;) {
        double end = now() + 0.0005;
        while (now() < end);
        if (fork()) _exit(0);
    }
}
''')
hop(0)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""

HONEST = """
import os

import torch
from torch import nn

for _ in range(3):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""
