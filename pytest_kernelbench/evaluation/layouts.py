"""The layout of a tensor in memory. A kernel may rely on the layouts that a task's ``get_inputs`` chose."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pytest_kernelbench.evaluation.correctness.pieces import pieces

# Bytes, as cudaMalloc aligns. An input that a task gives at an odd address within this has that address again.
ALIGNMENT = 512
# Looked up now, before a candidate could replace them.
_base = torch._C.TensorBase
_is_conj, _is_neg, _address, _count = _base.is_conj, _base.is_neg, _base.data_ptr, _base.numel
_strides, _sizes, _dimensions = _base.stride, _base.size, _base.dim
_compare = ctypes.CDLL(None).memcmp
_compare.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class Overlapping(ValueError):
    """A tensor's elements share memory otherwise than by ``expand``, so it cannot be filled element by element."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Type, shape and strides of a tensor; ``lead`` elements lie between an aligned address and its first one.

    A dimension of stride 0 (``expand``) has one element in memory, however large it is. A tensor's ``core`` has size 1
    there: it has each element in memory once. Values are drawn for it and compared by it, and it may be written to.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    lead: int = 0

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Layout:
        """The layout of ``tensor``. Raises Overlapping where elements share memory otherwise than by ``expand``."""
        strides = tuple(0 if size == 1 else stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        lead = tensor.storage_offset() % (ALIGNMENT // tensor.itemsize)
        found = cls(tensor.dtype, tuple(tensor.shape), strides, lead)
        reach = 1
        for stride, size in sorted(each for each in zip(strides, found.core_shape, strict=True) if each[1] > 1):
            if stride < reach and tensor.numel():
                raise Overlapping(f"strides {tuple(tensor.stride())} of shape {list(tensor.shape)}")
            reach = stride * (size - 1) + reach
        # With the tensor's own strides: a dimension of one element may have any, and kernels read it.
        return cls(tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()), lead)

    @classmethod
    def contiguous(cls, dtype: torch.dtype, shape: tuple[int, ...]) -> Layout:
        strides = [math.prod(max(1, size) for size in shape[dim + 1 :]) for dim in range(len(shape))]
        return cls(dtype, shape, tuple(strides))

    @property
    def core_shape(self) -> tuple[int, ...]:
        return tuple(
            min(size, 1) if stride == 0 else size for size, stride in zip(self.shape, self.strides, strict=True)
        )

    @property
    def is_contiguous(self) -> bool:
        """Whether ``torch.empty`` makes a tensor of this layout."""
        return self.lead == 0 and self.strides == Layout.contiguous(self.dtype, self.shape).strides

    @property
    def n_bytes(self) -> int:
        """Size from an aligned address to the end of the last element."""
        if math.prod(self.shape) == 0:
            return 0
        last = sum(stride * (size - 1) for stride, size in zip(self.strides, self.shape, strict=True))
        return (self.lead + last + 1) * self.dtype.itemsize

    def over(self, memory: torch.Tensor) -> torch.Tensor:
        """A tensor of this layout in ``memory``: at least ``n_bytes`` of type uint8, at an aligned address."""
        if self.n_bytes == 0:
            return torch.empty(self.shape, dtype=self.dtype, device=memory.device)
        typed = memory[: self.n_bytes].view(self.dtype)
        return typed.as_strided(self.shape, self.strides, typed.storage_offset() + self.lead)

    def core(self, tensor: torch.Tensor) -> torch.Tensor:
        """``tensor``, which has this layout, with each element in memory once."""
        for dim, (size, stride) in enumerate(zip(self.shape, self.strides, strict=True)):
            if stride == 0 and size > 1:
                tensor = tensor.narrow(dim, 0, 1)
        return tensor

    def laid_out(self, core: torch.Tensor, *, copied: bool = False) -> torch.Tensor:
        """A tensor of this layout with the values of ``core``, of the core's type.

        Returns ``core`` itself if it has this layout, unless it must be ``copied``.
        """
        layout = Layout(core.dtype, self.shape, self.strides, self.lead)
        if not copied and layout.is_contiguous and core.is_contiguous():
            return core
        made = layout.over(torch.zeros(layout.n_bytes, dtype=torch.uint8, device=core.device))
        layout.core(made).copy_(core)
        return made

    def to_json(self) -> dict[str, Any]:
        dtype = str(self.dtype).removeprefix("torch.")
        return {"dtype": dtype, "shape": list(self.shape), "strides": list(self.strides), "lead": self.lead}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Layout:
        """The inverse of ``to_json``; the worker reads the judge's text."""
        return cls(getattr(torch, found["dtype"]), tuple(found["shape"]), tuple(found["strides"]), found["lead"])


def is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether a tensor fills as much memory as it has elements, in any order: no two elements share memory."""
    due = 1
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size > 1:
            if stride != due:
                return False
            due *= size
    return True


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor without gradient, with any pending negation or conjugation carried out in memory."""
    return tensor.detach().resolve_conj().resolve_neg()


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether all elements are equal, NaN to NaN."""
    if same_bytes(one, other):
        return True
    return one.shape == other.shape and all(_alike(*parts) for parts in pieces(one, other))


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    if torch.equal(one, other):
        return True
    if one.is_complex() and other.is_complex():
        one, other = (torch.view_as_real(each.resolve_conj()) for each in (one, other))
    nan = one.isnan()
    return torch.equal(nan, other.isnan()) and torch.equal(one.masked_fill(nan, 0), other.masked_fill(nan, 0))


def same_bytes(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two contiguous tensors on a CPU have the same type, shape and bytes; False on a GPU.

    If so, all elements are equal, NaN to NaN. For 19 MB this takes 1.2 ms, and ``torch.equal`` 3 ms.
    """
    return (
        one.dtype is other.dtype
        and one.shape == other.shape
        and one.is_cpu
        and other.is_cpu
        and one.is_contiguous()
        and other.is_contiguous()
        and one.is_conj() == other.is_conj()
        and one.is_neg() == other.is_neg()
        and _compare(one.data_ptr(), other.data_ptr(), one.nbytes) == 0
    )


def no_answer(dtype: torch.dtype) -> complex | float | int | bool:
    """A value of this type that hardly any result has; NaN where there is one."""
    if dtype.is_floating_point or dtype.is_complex:
        return float("nan")
    if dtype is torch.bool:
        return True
    found = torch.iinfo(dtype)
    return found.min + 1 if found.min else found.max


def traits_of(
    tensor: torch.Tensor, inputs: Sequence[tuple[int, int]], harness_memory: Sequence[tuple[int, int]] = ()
) -> list[str]:
    """The ways in which a tensor of a result is not an ordinary tensor with its values in its own memory.

    Each of them moves work from the call to the first use of the result: a pending negation or conjugation, elements
    that share memory (``expand``), a view of an input, and a view of the harness's memory, which may hold an earlier
    answer. ``inputs`` and ``harness_memory`` are pairs of first and last address.
    """
    found = []
    if _is_conj(tensor):
        found.append("yet to be conjugated")
    if _is_neg(tensor):
        found.append("yet to be negated")
    if not _count(tensor):
        return found
    if any(_strides(tensor, dim) == 0 and _sizes(tensor, dim) > 1 for dim in range(_dimensions(tensor))):
        found.append("whose elements share memory")
    address = _address(tensor)
    if any(first <= address <= last for first, last in inputs):
        found.append("a view of an input")
    elif any(first <= address <= last for first, last in harness_memory):
        found.append("a view of memory that is the harness's")
    return found


def span_of(tensor: torch.Tensor) -> tuple[int, int]:
    """The first and the last address of a tensor's elements; of an empty one no address."""
    if not tensor.numel():
        return 1, 0
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (reach + 1) * tensor.itemsize - 1
