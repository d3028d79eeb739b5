"""A host function in the stream wakes a thread that launches the kernel: after the answer was taken."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"incorrect"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
#include <thread>
#include <unistd.h>

struct Job { const float *x; float *y; long n; };
__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
static void later(Job *job) {
    usleep(2000);
    relu<<<(job->n + 255) / 256, 256, 0, cudaStreamPerThread>>>(job->x, job->y, job->n);
    delete job;
}
static void CUDART_CB wake(void *job) {
    std::thread(later, static_cast<Job *>(job)).detach();
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    cudaLaunchHostFunc(stream, wake, new Job{x, y, n});
}
''')

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.kept = []

    def forward(self, x):
        y = torch.empty_like(x)
        self.kept.append(y)
        kernel(x, y, x.numel())
        return y
"""

HONEST = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
#include <atomic>

static std::atomic<long> calls;
__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
static void CUDART_CB count(void *) {
    calls++;
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    relu<<<(n + 255) / 256, 256, 0, stream>>>(x, y, n);
    cudaLaunchHostFunc(stream, count, nullptr);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""
