"""sys.monitoring (before Python 3.12: settrace) tells a callback when the reference's forward starts; it waits then."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import sys
import time

import torch
from torch import nn

def wait(code):
    if code.co_filename == "<reference>":
        time.sleep(0.004)

if hasattr(sys, "monitoring"):
    sys.monitoring.use_tool_id(3, "wait")
    sys.monitoring.register_callback(3, sys.monitoring.events.PY_START, lambda code, offset: wait(code))
    sys.monitoring.set_events(3, sys.monitoring.events.PY_START)
else:
    sys.settrace(lambda frame, event, argument: wait(frame.f_code))

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""

HONEST = """
import sys

import torch
from torch import nn

if hasattr(sys, "monitoring"):
    sys.monitoring.use_tool_id(3, "wait")
    sys.monitoring.free_tool_id(3)
else:
    sys.settrace(None)

class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
"""
