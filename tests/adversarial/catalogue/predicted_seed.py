"""Draws with the usual seeds in the hope of meeting the inputs; the judge's seeds are secret."""

TASK = "relu"
DEVICE = "any"
OUTCOMES = {"not_fast", "void"}

CHEAT = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.prepared = []

    def prepare(self, x):
        for seed in (0, 1, 42, torch.initial_seed() % 2**63):
            torch.manual_seed(seed)
            guess = torch.rand(x.shape, device=x.device)
            self.prepared.append((guess, torch.relu(guess)))

    def forward(self, x):
        if not self.prepared:
            self.prepare(x)
        for guess, answer in self.prepared:
            if torch.equal(guess[0], x[0]):
                return answer
        return torch.relu(x)
"""

HONEST = """
import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(42)
        self.noise = torch.rand(4)

    def forward(self, x):
        return torch.relu(x)
"""
