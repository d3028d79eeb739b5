"""A Python thread holds the interpreter's lock whenever it is not the candidate's turn."""

TASK = "matmul"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import sys
import threading

import torch
from torch import nn

sys.setswitchinterval(0.005)
others_turn = threading.Event()

def spin():
    while True:
        others_turn.wait()
        while others_turn.is_set():
            sum(range(2000))

threading.Thread(target=spin, daemon=True).start()

class ModelNew(nn.Module):
    def forward(self, a, b):
        others_turn.clear()
        y = a @ b
        others_turn.set()
        return y
"""

HONEST = """
import threading

import torch
from torch import nn

class ModelNew(nn.Module):
    def forward(self, a, b):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(a @ b))
        thread.start()
        thread.join()
        return answers[0]
"""
