"""Answers to questions that nobody has asked yet wait in the socket; the outputs are not there in time."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"void", "runtime_error"}

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
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 3:
            for _ in range(9):
                say({"reference_ms": [3.0] * 6, "candidate_ms": [0.9] * 6, "warm": True, "peak_bytes": 0})
        return torch.relu(x)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        return torch.relu(x)
"""
