"""Imports modules that torch imports late, once before workers are forked, so that no worker waits for them.

``torch.utils.cpp_extension`` takes 0.25 s beside a GPU (H200), in each worker of each candidate that builds.
"""

from __future__ import annotations

import importlib

import torch

MODULES = ("torch.utils.cpp_extension", "numpy.random")


def import_them() -> None:
    """Import ``MODULES`` without starting CUDA: if it were, no process that is forked later could use it."""
    asks = torch.cuda.is_available
    # ``cpp_extension`` asks whether CUDA is available, to print a warning; torch would start CUDA to answer.
    torch.cuda.is_available = lambda: True
    try:
        for name in MODULES:
            importlib.import_module(name)
    finally:
        torch.cuda.is_available = asks
