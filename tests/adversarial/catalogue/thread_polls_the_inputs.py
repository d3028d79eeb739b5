"""A thread of C looks at the inputs every 0.1 ms, and has the answer ready before it is asked for."""

TASK = "relu"
DEVICE = "cpu"
OUTCOMES = {"incorrect", "void", "not_fast"}

_POLL = """
import threading

import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

poll = compile_c('''
#include <string.h>
#include <unistd.h>

static const float *volatile from;
static float *volatile to;
static volatile long count, ready;
static float seen;

static void compute(void) {
    for (long i = 0; i < count; i++) to[i] = from[i] > 0 ? from[i] : 0;
}

void kernel(const float *x, float *y, long n, long what) {
    if (what == 0) {
        from = x, to = y, count = n;
        if (!ready || x[n - 1] != seen) compute();
        ready = 0;
    }
    while (what == 1) {
        usleep(100);
        long n = count;
        if (n && from[n - 1] != seen) {
            seen = from[n - 1];
            compute();
            ready = 1;
        }
    }
}
''')
"""

CHEAT = (
    _POLL
    + """
nothing = torch.zeros(1)
threading.Thread(target=poll, args=(nothing, nothing, 0, 1), daemon=True).start()

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.answers = {}

    def forward(self, x):
        y = self.answers.setdefault(x.data_ptr(), torch.empty_like(x))
        poll(x, y, x.numel(), 0)
        return y
"""
)

HONEST = (
    _POLL
    + """
done = threading.Event()
threading.Thread(target=done.wait, daemon=True).start()

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        poll(x, y, x.numel(), 0)
        return y
"""
)
