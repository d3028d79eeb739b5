"""Begins to capture a stream and leaves it at that."""

TASK = "relu"
DEVICE = "cuda"
OUTCOMES = {"runtime_error"}

CHEAT = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    static cudaStream_t side;
    relu<<<(n + 255) / 256, 256, 0, stream>>>(x, y, n);
    if (!side) {
        cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
        cudaStreamBeginCapture(side, cudaStreamCaptureModeGlobal);
    }
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""

HONEST = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void relu(const float *x, float *y, long n) {
    long i = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
extern "C" void kernel(const float *x, float *y, long n, cudaStream_t stream) {
    static cudaStream_t side;
    if (!side) cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
    cudaGraph_t graph;
    cudaGraphExec_t instance;
    cudaStreamBeginCapture(side, cudaStreamCaptureModeGlobal);
    relu<<<(n + 255) / 256, 256, 0, side>>>(x, y, n);
    cudaStreamEndCapture(side, &graph);
    cudaGraphInstantiate(&instance, graph, 0);
    cudaGraphLaunch(instance, stream);
    cudaGraphExecDestroy(instance);
    cudaGraphDestroy(graph);
}
''')

class ModelNew(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel(x, y, x.numel())
        return y
"""
