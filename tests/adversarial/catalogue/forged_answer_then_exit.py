"""Finds the judge's socket, says that the answer is delivered, and leaves; the judge looks at the answer."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"incorrect", "runtime_error", "void"}

CHEAT = """
import json
import os
import socket
import stat
import struct

import torch
from torch import nn

def judge():
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.stat(int(name)).st_mode):
                return int(name)
        except OSError:
            pass

def say(message):
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    os.write(judge(), struct.pack("!I", len(payload)) + payload)

class ModelNew(nn.Module):
    def forward(self, x):
        say({"delivered": True})
        os._exit(0)
"""

HONEST = """
import json
import struct

import torch
from torch import nn

frame = struct.pack("!I", 2) + json.dumps({}).encode()

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""
