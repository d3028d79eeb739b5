"""A kernel that is compiled and never called; torch does the work: right, and not faster."""

TASK = "relu"
DEVICE = "cpu"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

kernel = compile_c("void kernel(const float *x, float *y, long n) {}")

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""

HONEST = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

kernel = compile_c('''
void kernel(const float *x, float *y, long n) {
    #pragma omp parallel for
    for (long i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""
