"""Calls each of MKL's vector functions once in one thread, before several threads may do so for the first time.

MKL chooses the code for this processor at the first call. If two threads make that call, one may compute its share
with low precision: in 236 of 4710 new forks on two cores the first exp was off by 1e-4 (torch 2.13 with MKL 2024.2;
https://github.com/pytorch/pytorch/issues/188792), and right the next time. No answer may depend on that.
"""

from __future__ import annotations

import torch

FUNCTIONS = "acos asin atan cos erf erfc erfinv exp log log2 log10 sin sqrt tan tanh trunc".split()


def make_ready() -> None:
    """Call each function once in this thread alone; processes that are forked later have it ready."""
    for dtype in (torch.float32, torch.float64):
        one = torch.full((1,), 0.5, dtype=dtype)
        for name in FUNCTIONS:
            getattr(torch, name)(one)
