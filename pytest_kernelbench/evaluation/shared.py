"""Tensors that judge and worker both see, without a copy and without pickling."""

from __future__ import annotations

import fcntl
import math
import mmap
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch


class Shared(Protocol):
    """A tensor in memory that both processes see; ``descriptor`` travels beside the message, if it needs one."""

    tensor: torch.Tensor
    descriptor: int | None

    def describe(self) -> dict[str, Any]: ...
    def close(self) -> None: ...


class SharedTensor:
    """A CPU tensor in anonymous shared memory: the judge makes it, its descriptor travels beside a message.

    Only the judge creates memory and only the judge's own mapping is ever read back, so a worker cannot hand
    over anything but the bytes of a tensor whose shape and type the judge chose.
    """

    def __init__(self, tensor: torch.Tensor, descriptor: int) -> None:
        self.tensor = tensor
        self.descriptor = descriptor

    @classmethod
    def create(cls, shape: tuple[int, ...], dtype: torch.dtype) -> SharedTensor:
        """Zeroed memory for a contiguous tensor."""
        descriptor = os.memfd_create("kernelbench", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, max(1, math.prod(shape) * dtype.itemsize))
        # A worker that cut it short would end the judge, at its next look.
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        return cls(_map(descriptor, shape, dtype), descriptor)

    @classmethod
    def attach(cls, description: Mapping[str, Any], descriptor: int) -> SharedTensor:
        """The other side of ``create``: the memory behind ``descriptor``, as ``describe`` said."""
        shape, dtype = tuple(description["shape"]), getattr(torch, description["dtype"])
        attached = cls(_map(descriptor, shape, dtype), descriptor)
        attached.close()
        return attached

    def describe(self) -> dict[str, Any]:
        return {"shape": list(self.tensor.shape), "dtype": str(self.tensor.dtype).removeprefix("torch.")}

    def close(self) -> None:
        """Give the descriptor back; the memory goes when the last tensor over it does."""
        os.close(self.descriptor)


def _map(descriptor: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    count = math.prod(shape)
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    memory = mmap.mmap(descriptor, count * dtype.itemsize)
    return torch.frombuffer(memory, dtype=dtype, count=count).view(shape)


def attach(description: Any, descriptors: Any, device: str) -> Any:
    """An input or output as a worker sees it: a tensor in the judge's memory, or a plain value."""
    if "value" in description:
        return description["value"]
    if device == "cuda":
        from pytest_kernelbench.evaluation.shared_cuda import CudaSharedTensor

        return CudaSharedTensor.attach(description).tensor
    return SharedTensor.attach(description, next(descriptors)).tensor


def release_persisting_l2() -> None:
    """Have a GPU treat lines of its L2 that were asked to persist like any others."""
    from pytest_kernelbench.evaluation.shared_cuda import runtime

    runtime().cudaCtxResetPersistingL2Cache()


def create(like: Sequence[torch.Tensor], device: str) -> Sequence[Shared]:
    """Memory, for tensors of these shapes and types, that a worker will see."""
    if device == "cuda":
        from pytest_kernelbench.evaluation.shared_cuda import CudaSharedTensor

        return CudaSharedTensor.create(like)
    return [SharedTensor.create(tuple(each.shape), each.dtype) for each in like]
