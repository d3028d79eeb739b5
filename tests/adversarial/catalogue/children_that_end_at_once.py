"""A C thread starts children of at most 1 ms and reaps them at once: they burn the cores while the reference runs.

What has ended is below nobody, so a look at the living processes never sees it.
"""

TASK = "matmul"
DEVICE = "cpu"
OUTCOMES = {"not_fast", "void"}

_BURN = """
import threading

import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

burn = compile_c('''
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }

void kernel(volatile int *wanted, long children) {
    while (children != 0) {
        while (children != 0 && !*wanted) usleep(50);
        for (int i = 0; i < 4; i++)
            if (fork() == 0) { double end = now() + 0.0008; while (now() < end); _exit(0); }
        while (wait(0) > 0);
        if (children > 0) children--;
    }
}
''')
wanted = torch.zeros(1, dtype=torch.int32)
"""

CHEAT = (
    _BURN
    + """
threading.Thread(target=burn, args=(wanted, -1), daemon=True).start()

class ModelNew(nn.Module):
    def forward(self, a, b):
        wanted[0] = 0
        c = a @ b
        wanted[0] = 1
        return c
"""
)

HONEST = (
    _BURN
    + """
wanted[0] = 1
burn(wanted, 2)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""
)
