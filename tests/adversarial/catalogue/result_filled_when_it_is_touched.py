"""The result lies in pages that cannot be read; the handler of the fault fills them, when the clock has stopped."""

TASK = "relu"
DEVICE = "cpu"
OUTCOMES = {"not_fast", "void", "incorrect", "runtime_error"}

CHEAT = """
import ctypes
import mmap

import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

kernel = compile_c('''
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#define MOST 1024
static const float *from[MOST];
static float *to[MOST];
static long size[MOST];
static int count;
static struct sigaction before;
static void fill(int number, siginfo_t *fault, void *context) {
    char *at = fault->si_addr;
    for (int k = 0; k < MOST; k++) {
        char *begin = (char *)to[k];
        if (!begin || at < begin || at >= begin + 4 * size[k]) continue;
        mprotect(begin, 4 * size[k], PROT_READ | PROT_WRITE);
        for (long i = 0; i < size[k]; i++) to[k][i] = from[k][i] > 0 ? from[k][i] : 0;
        return;
    }
    sigaction(SIGSEGV, &before, 0);
}
void kernel(const float *x, float *y, long n) {
    static int installed;
    if (!installed) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_sigaction = fill;
        action.sa_flags = SA_SIGINFO | SA_NODEFER;
        sigaction(SIGSEGV, &action, &before);
        installed = 1;
    }
    int k = 0;
    while (k < count && to[k] != y) k++;
    if (k == count) count++;
    from[k] = x; to[k] = y; size[k] = n;
    mprotect(y, 4 * n, PROT_NONE);
}
''')

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.pages, self.calls = {}, 0

    def forward(self, x):
        self.calls += 1
        key = x.shape, self.calls % 64
        if key not in self.pages:
            memory = mmap.mmap(-1, 4 * x.numel())
            self.pages[key] = torch.frombuffer(memory, dtype=torch.float32).view(x.shape)
        y = self.pages[key].detach()
        kernel(x, y, x.numel())
        return y
"""

HONEST = """
import mmap

import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

kernel = compile_c('''
void kernel(const float *x, float *y, long n) {
    for (long i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;
}
''')

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.pages, self.calls = {}, 0

    def forward(self, x):
        self.calls += 1
        key = x.shape, self.calls % 64
        if key not in self.pages:
            memory = mmap.mmap(-1, 4 * x.numel())
            self.pages[key] = torch.frombuffer(memory, dtype=torch.float32).view(x.shape)
        y = self.pages[key].detach()
        kernel(x, y, x.numel())
        return y
"""
