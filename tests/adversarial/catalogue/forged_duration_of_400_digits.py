"""A duration that is an integer too large for a float: a crash of the judge would be a way out."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"void"}

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
        if self.calls == 4:
            say({"reference_ms": [10**400] * 6, "candidate_ms": [1] * 6})
        return torch.relu(x)
"""

HONEST = """
import torch
from torch import nn

large = 10**400

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""
