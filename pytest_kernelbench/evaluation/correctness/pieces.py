"""Tensors in pieces: a pass over 8 GB in float64 needs 16 GB at once, and one over a piece none that counts."""

from __future__ import annotations

from collections.abc import Iterator

import torch

ELEMENTS_AT_ONCE = 1 << 26
# 8 MB in float64, which malloc takes from freed memory; for 38 MB it asks the system for new pages, which are zeroed
# first (4.7 M elements: 13 ms in such pieces, 45 ms as a whole).
ON_A_CPU = 1 << 20


def pieces(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Flat pieces of tensors of one shape, side by side, of a size at which passes over them are fastest."""
    at_once = ON_A_CPU if tensors[0].is_cpu else ELEMENTS_AT_ONCE
    return zip(*(tensor.reshape(-1).split(at_once) for tensor in tensors), strict=True)


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether no element is infinite or NaN: ``isfinite`` of 7 GB at once takes 12 GB more."""
    return all(bool(part.isfinite().all()) for (part,) in pieces(tensor))


def equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors have the same shape and elements; a NaN equals nothing."""
    return one.shape == other.shape and all(torch.equal(*parts) for parts in pieces(one, other))


def count_nan(tensor: torch.Tensor) -> int:
    return sum(int(part.isnan().sum()) for (part,) in pieces(tensor))
