"""Where the outputs of a worker's calls are, for the judge to read them there."""

from __future__ import annotations

from typing import Any

import torch

from pytest_kernelbench.evaluation.layouts import is_dense
from pytest_kernelbench.evaluation.shared import exported
from pytest_kernelbench.evaluation.worker.slots import Slot

# Taken before a candidate could put others in their place.
_detach, _copy = torch._C.TensorBase.detach, torch._C.TensorBase.copy_


class Kept:
    """The outputs of a turn's calls, each in memory of its own, with an element for each.

    What only stands for numbers (a view of an input, a broadcast one, a conjugate that is not computed) is copied. So
    is every output of a candidate that returns memory of an earlier output: the next call would overwrite it.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._copies_all = False
        self._tensors: list[torch.Tensor] = []
        self._storages: set[int] = set()

    def clear(self) -> None:
        """Free the outputs of the last turn."""
        self._tensors, self._storages = [], set()

    def add(self, slot: Slot, output: Any) -> dict[str, Any] | None:
        """Keep an output; what there is to answer where that cannot be done: a mismatch, or that memory was reused."""
        tensors, mismatch = slot.matched(output)
        if mismatch is not None:
            return {"mismatch": mismatch}
        plain = [self._plain(slot, tensor) for tensor in tensors]
        storages = {tensor.untyped_storage().data_ptr() for tensor in plain if tensor.numel()}
        if not self._storages.isdisjoint(storages):
            self._copies_all = True
            return {"reused": True}
        self._storages |= storages
        self._tensors += plain
        return None

    def answer(self) -> dict[str, Any]:
        """Where the outputs are, call by call."""
        self._tensors, places = exported(self._tensors, self._device)
        return {
            "at": [at for at, _ in places],
            "strides": [stride for tensor in self._tensors for stride in tensor.stride()],
            "handles": [handle for _, handle in places],
        }

    def _plain(self, slot: Slot, tensor: torch.Tensor) -> torch.Tensor:
        tensor = _detach(tensor)
        if not self._copies_all and not slot.stands_for_inputs(tensor) and is_dense(tensor.shape, tensor.stride()):
            return tensor
        copy = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
        _copy(copy, tensor)
        return copy
