"""A thread keeps every multiprocessor busy on a side stream, but when the candidate runs."""

TASK = "matmul"
DEVICE = "cuda"
OUTCOMES = {"void", "not_fast"}

CHEAT = """
import threading

import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void burn(long cycles) {
    long long start = clock64();
    while (clock64() < start + cycles) {}
}
extern "C" void kernel(long cycles, cudaStream_t) {
    static cudaStream_t side;
    if (!side) cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
    burn<<<528, 1024, 0, side>>>(cycles);
    cudaStreamSynchronize(side);
}
''')

idle, turn = threading.Event(), threading.Lock()

def load():
    while True:
        idle.wait()
        with turn:
            kernel(50000)

threading.Thread(target=load, daemon=True).start()

class ModelNew(nn.Module):
    def forward(self, a, b):
        idle.clear()
        with turn:
            y = a @ b
            torch.cuda.current_stream().synchronize()
        idle.set()
        return y
"""

HONEST = """
import torch
from torch import nn

from pytest_kernelbench.inline import compile_cuda

kernel = compile_cuda('''
__global__ void burn(long cycles) {
    long long start = clock64();
    while (clock64() < start + cycles) {}
}
extern "C" void kernel(long cycles, cudaStream_t) {
    static cudaStream_t side;
    if (!side) cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
    burn<<<528, 1024, 0, side>>>(cycles);
    cudaStreamSynchronize(side);
}
''')

kernel(50000)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""
