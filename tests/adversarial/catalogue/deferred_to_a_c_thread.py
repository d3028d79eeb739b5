"""A detached C thread does the work after forward has returned; the answer is taken at once, and is not there."""

TASK = "relu"
DEVICE = "cpu"
OUTCOMES = {"incorrect", "void"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

kernel = compile_c('''
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
struct job { const float *x; float *y; long n; };
static void *work(void *raw) {
    struct job *job = raw;
    usleep(20000);
    for (long i = 0; i < job->n; i++) job->y[i] = job->x[i] > 0 ? job->x[i] : 0;
    free(job);
    return 0;
}
void kernel(const float *x, float *y, long n) {
    struct job *job = malloc(sizeof *job);
    *job = (struct job){x, y, n};
    pthread_t thread;
    pthread_create(&thread, 0, work, job);
    pthread_detach(thread);
}
''')

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.kept = []

    def forward(self, x):
        y = torch.empty_like(x)
        self.kept.append((x, y))
        kernel(x, y, x.numel())
        return y
"""

HONEST = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

kernel = compile_c('''
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
struct job { const float *x; float *y; long n; };
static void *work(void *raw) {
    struct job *job = raw;
    
    for (long i = 0; i < job->n; i++) job->y[i] = job->x[i] > 0 ? job->x[i] : 0;
    free(job);
    return 0;
}
void kernel(const float *x, float *y, long n) {
    struct job *job = malloc(sizeof *job);
    *job = (struct job){x, y, n};
    pthread_t thread;
    pthread_create(&thread, 0, work, job);
    pthread_join(thread, 0);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""
