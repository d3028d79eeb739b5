"""Keeps the outputs of a worker's calls, and finds their addresses, where the judge reads them."""

from __future__ import annotations

from typing import Any

import torch

from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.layouts import is_dense
from pytest_kernelbench.evaluation.worker.slots import Slot

# Looked up now, before a candidate could replace them.
_base = torch._C.TensorBase
_detach, _copy, _address, _count = _base.detach, _base.copy_, _base.data_ptr, _base.numel


class Kept:
    """The outputs of a turn's calls, each in memory of its own, with every element stored once.

    Views of an input, broadcast tensors and pending conjugates are copied. If a candidate returns memory of an earlier
    output, which its next call would overwrite, all its outputs are copied.
    """

    def __init__(self, device: str) -> None:
        self._exported = device_named(device).exported
        self._copies_all = False
        self._outputs: list[tuple[Slot, Any]] = []
        self._tensors: list[torch.Tensor] = []

    def clear(self) -> None:
        """Free the outputs of the last turn."""
        self._outputs, self._tensors = [], []

    def add(self, slot: Slot, output: Any) -> None:
        """Keep the output of one call. The clock is running, so hardly anything is done here."""
        if self._copies_all:
            tensors, mismatch = slot.matched(output)
            output = output if mismatch is not None else [_copied(tensor) for tensor in tensors]
        self._outputs.append((slot, output))

    def answer(self) -> dict[str, Any]:
        """The places of the outputs, call by call; or a mismatch, or that memory of an earlier output was returned."""
        addresses: set[int] = set()
        for slot, output in self._outputs:
            tensors = output
            if type(output) is torch.Tensor and slot.returns_one:
                tensors = [output]
            elif not self._copies_all:
                tensors, mismatch = slot.matched(output)
                if mismatch is not None:
                    return {"mismatch": mismatch}
            for tensor in tensors:
                plain = _plain(slot, tensor)
                address = _address(plain)
                if address in addresses and _count(plain):
                    self._copies_all = True
                    return {"reused": True}
                addresses.add(address)
                self._tensors.append(plain)
        self._outputs = []
        told = self._exported(self._tensors)
        self._tensors = told.tensors
        strides = [stride for tensor in told.tensors for stride in tensor.stride()]
        return {"at": told.at, "strides": strides, "handle": told.handle, "handles": told.handles}


def _plain(slot: Slot, tensor: torch.Tensor) -> torch.Tensor:
    tensor = _detach(tensor)
    dense = tensor.is_contiguous() or is_dense(tensor.shape, tensor.stride())
    return tensor if dense and not slot.stands_for_inputs(tensor) else _copied(tensor)


def _copied(tensor: torch.Tensor) -> torch.Tensor:
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    _copy(copy, _detach(tensor))
    return copy
