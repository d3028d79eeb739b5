"""A daemon takes the device's memory and keeps it, for whoever comes next."""

TASK = "short_relu"
DEVICE = "cuda"
OUTCOMES = {"not_fast"}

CHEAT = """
import subprocess
import sys

import torch
from torch import nn

DAEMON = '''
import ctypes, time
cuda = ctypes.CDLL("libcuda.so.1")
context, free, total, pointer = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_uint64()
cuda.cuInit(0)
cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
cuda.cuCtxSetCurrent(context)
cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
taken = cuda.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(free.value // 2))
print("taken" if taken == 0 else "refused", flush=True)
time.sleep(3600)
'''
daemon = subprocess.Popen([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, start_new_session=True)
assert daemon.stdout.readline() == b"taken" + bytes([10])

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""

HONEST = """
import torch
from torch import nn

free, total = torch.cuda.mem_get_info()
most = torch.empty(total * 6 // 10, dtype=torch.uint8, device="cuda")
del most
torch.cuda.empty_cache()

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""
