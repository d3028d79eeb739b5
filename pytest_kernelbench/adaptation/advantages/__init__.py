"""Advantages: one number for each rollout, computed from the rewards of a step. One module for each method.

To add one: write ``advantages/<name>.py``, and add its line to ``ADVANTAGES`` in ``registries.py``.
"""

from pytest_kernelbench.adaptation.advantages.base import Advantage
from pytest_kernelbench.registries import ADVANTAGES

__all__ = ["ADVANTAGES", "Advantage"]
