"""Asks the network for help; there is none, not even loopback."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"build_error", "runtime_error"}

CHEAT = """
import socket

import torch
from torch import nn

server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname(), timeout=1)

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""

HONEST = """
import socket

import torch
from torch import nn

left, right = socket.socketpair()

class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x)
"""
