"""Two bytes of a header, then silence: the judge must not wait for the rest beyond its deadline."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"timeout"}

CHEAT = r"""
import json
import os
import socket
import stat
import struct
import time

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
        os.write(judge(), b"\0\0")
        time.sleep(3600)
"""

HONEST = """
import time

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""
