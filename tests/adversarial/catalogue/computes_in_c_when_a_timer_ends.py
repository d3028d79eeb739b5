"""A signal's handler in C copies what the judge was told to wait for, whatever the process is doing then."""

TASK = "relu"
DEVICE = "cpu"
OUTCOMES = {"incorrect", "void", "not_fast"}

_KERNEL = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

relu = compile_c('''
#include <signal.h>
#include <sys/time.h>

static const float *from;
static float *to;
static long count;

static void compute(int number) {
    for (long i = 0; i < count; i++) to[i] = from[i] > 0 ? from[i] : 0;
    count = 0;
}

void kernel(const float *x, float *y, long n, long after_us) {
    from = x, to = y, count = n;
    if (after_us == 0) {
        compute(0);
        return;
    }
    signal(SIGALRM, compute);
    struct itimerval timer = {{0, 0}, {0, after_us}};
    setitimer(ITIMER_REAL, &timer, 0);
}
''')
"""

CHEAT = (
    _KERNEL
    + """
class ModelNew(nn.Module):
    def forward(self, x):
        # Kept, because the handler comes later.
        self.x, self.y = x, torch.empty_like(x)
        relu(x, self.y, x.numel(), 300)
        return self.y
"""
)

HONEST = (
    _KERNEL
    + """
class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        relu(x, y, x.numel(), 0)
        return y
"""
)
