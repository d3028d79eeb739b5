"""A well-formed frame around what is no JSON."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"void", "incorrect"}

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
        say(b"[" * 100000)
        return torch.relu(x)
"""

HONEST = """
import json

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""
