"""Modules that torch imports late: imported once before workers are forked, they cost no worker its load.

``torch.utils.cpp_extension`` takes 0.25 s beside a GPU (H200), in each worker of each candidate that builds.
"""

from __future__ import annotations

import importlib

import torch

MODULES = ("torch.utils.cpp_extension", "numpy.random")


def import_them() -> None:
    """Import ``MODULES``. CUDA is not started: after that, no process that is forked could use it."""
    asks = torch.cuda.is_available
    # ``cpp_extension`` asks, to print a warning, and torch answers by starting CUDA.
    torch.cuda.is_available = lambda: True
    try:
        for name in MODULES:
            importlib.import_module(name)
    finally:
        torch.cuda.is_available = asks
