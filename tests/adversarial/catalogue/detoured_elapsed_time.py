"""The machine code of cudaEventElapsedTime jumps to one that says a tenth of it while the candidate runs."""

TASK = "matmul"
DEVICE = "cuda"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import ctypes
import platform
import struct

import torch
from torch import nn

from pytest_kernelbench.evaluation.device.cuda_memory import runtime
from pytest_kernelbench.inline import compile_c

clock = compile_c('''
typedef int (*elapsed_t)(float *, void *, void *);
static elapsed_t driver;
static long inside;

static int tenth(float *ms, void *begin, void *end) {
    int failed = driver(ms, begin, end);
    if (inside) *ms /= 10;
    return failed;
}

void kernel(long what, long *address) {
    if (what == 2) {
        driver = (elapsed_t)address[0];
        address[0] = (long)tenth;
    } else inside = what;
}
''')
libcuda = ctypes.CDLL("libcuda.so.1")
address = torch.tensor([ctypes.cast(libcuda.cuEventElapsedTime, ctypes.c_void_p).value])
clock(2, address)
if platform.machine() == "x86_64":
    # movabs rax, address; jmp rax
    jump = bytes((0x48, 0xB8)) + struct.pack("<q", address.item()) + bytes((0xFF, 0xE0))
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(ctypes.cast(runtime().cudaEventElapsedTime, ctypes.c_void_p).value)
        memory.write(jump)
torch.nn.modules.module.register_module_forward_pre_hook(
    lambda module, inputs: clock(int(type(module) is ModelNew), address)
)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        end.record()
        end.synchronize()
        self.least_ms = begin.elapsed_time(end)

    def forward(self, a, b):
        return a @ b
"""
