"""The least time that a device needs for a task, for any kernel.

The higher one of two floors. Memory: inputs that must be read and outputs that must be written, once each, at the
rate of a copy; the excess of reads over writes (or the reverse) at the higher rate of only reading (writing). Weights
are left out: they are the same at every call, so caches may hold them and a kernel may have combined them. Arithmetic,
on a GPU: the products of matrices and convolutions that no algebraic trick saves (``required``), at the rate of
bfloat16 tensor cores, which no float32 kernel reaches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch

from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.names import is_gpu
from pytest_kernelbench.evaluation.device.traits import torch_name

REPEATS = 9
# From 4 GB on, twice as many bytes take twice as long, so no more are moved.
MOST_MOVED_BYTES = 4 << 30
# The share of the obtainable memory that the buffer may take, whose bytes are moved.
MOST_SHARE_OF_MEMORY = 0.25
SIDE_OF_PRODUCT = 8192


class Traffic(NamedTuple):
    """Bytes that every kernel for a task must read and write."""

    read: int
    written: int


def traffic(inputs: Sequence[Any], outputs: Sequence[torch.Tensor], read_shares: Mapping[int, float]) -> Traffic:
    """Bytes that must move: every output element is written once, and the needed share of each input is read once.

    Elements that are zero by structure (a triangular matrix) and half of a symmetric matrix need not be read: a kernel
    may rely on either.
    """
    read = 0
    for place, value in enumerate(inputs):
        if isinstance(value, torch.Tensor):
            needed = int(value.count_nonzero()) / value.numel() if value.is_floating_point() and value.numel() else 1.0
            if value.dim() == 2 and value.shape[0] == value.shape[1] and torch.equal(value, value.T):
                needed /= 2
            read += int(value.numel() * value.element_size() * needed * read_shares.get(place, 0.0))
    return Traffic(read, sum(t.numel() * t.element_size() for t in outputs))


def moving_ms(moved: Traffic, device: str) -> float:
    """Least time in which this device reads and writes the bytes of ``moved``.

    The part that is both read and written is at the rate of a copy, the rest at the rate of a sum or a fill.
    """
    total = max(1, moved.read + moved.written)
    most = min(MOST_MOVED_BYTES, int(MOST_SHARE_OF_MEMORY * device_named(device).obtainable_bytes()))
    half = math.ceil(min(total, most) / 2 / torch.float32.itemsize)
    buffer = torch.ones(2 * half, device=torch_name(device))
    origin, target = buffer.chunk(2)
    copy_ms = _least_ms(device, lambda: target.copy_(origin))
    one_way_ms = _least_ms(device, buffer.sum if moved.read > moved.written else buffer.zero_)
    one_way = abs(moved.read - moved.written) / total
    least_ms = (1 - one_way) * copy_ms + one_way * min(copy_ms, one_way_ms)
    return least_ms * max(1.0, total / most)


def _least_ms(device: str, work: Callable[[], object]) -> float:
    return min(device_named(device).milliseconds(work) for _ in range(REPEATS))


@cache
def products_per_ms(device: str) -> float | None:
    """Multiplications with addition that the tensor cores of this GPU do in a millisecond; None on a CPU."""
    if not is_gpu(device):
        return None
    shape = (SIDE_OF_PRODUCT, SIDE_OF_PRODUCT)
    left, right = (torch.randn(shape, dtype=torch.bfloat16, device=torch_name(device)) for _ in range(2))
    least = min(device_named(device).milliseconds(lambda: left @ right) for _ in range(4))
    return SIDE_OF_PRODUCT**3 / least
