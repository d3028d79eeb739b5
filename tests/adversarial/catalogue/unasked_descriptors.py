"""File descriptors sent along until the judge would have none left."""

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
    def forward(self, x):
        payload = b"{}"
        connection = socket.socket(fileno=os.dup(judge()))
        socket.send_fds(connection, [struct.pack("!I", len(payload)) + payload], [0] * 100)
        return torch.relu(x)
"""

HONEST = """
import socket

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""
