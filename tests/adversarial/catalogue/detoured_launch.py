"""The machine code of cuLaunchKernel is replaced: from the fourth call of the candidate on, five in six do nothing."""

TASK = "softsign"
DEVICE = "cuda"
OUTCOMES = {"incorrect", "void", "not_fast"}

CHEAT = """
import ctypes
import platform
import struct

import torch
from torch import nn

from pytest_kernelbench.inline import compile_c

skip = compile_c('''
static long skipping;
static int nothing(void) { return 0; }
void kernel(long *address) { address[0] = (long)nothing; }
''')
address = torch.zeros(1, dtype=torch.int64)
skip(address)
libcuda = ctypes.CDLL("libcuda.so.1")
places = [
    ctypes.cast(getattr(libcuda, name), ctypes.c_void_p).value for name in ("cuLaunchKernel", "cuLaunchKernelEx")
]
memory = open("/proc/self/mem", "r+b", buffering=0)
LENGTH = 12

def read(place):
    memory.seek(place)
    return memory.read(LENGTH)

def write(place, code):
    memory.seek(place)
    memory.write(code)

honest = [read(place) for place in places]
# movabs rax, address; jmp rax
jump = bytes((0x48, 0xB8)) + struct.pack("<q", address.item()) + bytes((0xFF, 0xE0))

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0
        self.kept = None

    def forward(self, x):
        self.calls += 1
        skips = self.calls > 3 and self.calls % 6 != 0 and platform.machine() == "x86_64"
        if skips:
            for place in places:
                write(place, jump)
        y = x / (1 + torch.abs(x))
        if skips:
            for place, code in zip(places, honest):
                write(place, code)
        return y
"""

HONEST = """
import ctypes

import torch
from torch import nn

libcuda = ctypes.CDLL("libcuda.so.1")
launch = ctypes.cast(libcuda.cuLaunchKernel, ctypes.c_void_p).value

class ModelNew(nn.Module):
    def forward(self, x):
        return x / (1 + torch.abs(x))
"""
