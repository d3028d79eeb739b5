"""The worker's view of the judge's memory: inputs to read, outputs to fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pytest_kernelbench.evaluation.shared import attach


class Slot:
    """One set of inputs and the place for the outputs that belong to it."""

    def __init__(self, inputs: list[Any], outputs: list[torch.Tensor]) -> None:
        self.inputs = inputs
        self._input_storages = {t.untyped_storage().data_ptr() for t in inputs if isinstance(t, torch.Tensor)}
        self._outputs = outputs

    def spoil(self) -> None:
        """Leave no answer in the memory that the allocator will hand out next, and the same state for both sides."""
        spoilt = [torch.full_like(t, float("nan") if t.is_floating_point() else -1) for t in self._outputs]
        del spoilt

    def apart(self, output: Any) -> Any:
        """An output that lies in no input's memory: what does is copied. Other structures than tensors stay."""
        if isinstance(output, tuple | list):
            return [self.apart(part) for part in output]
        if type(output) is torch.Tensor and output.untyped_storage().data_ptr() in self._input_storages:
            return output.clone()
        return output

    def deliver(self, output: Any) -> dict[str, Any]:
        """Copy an answer into the slot; says so where type, shape or number of tensors is not the reference's."""
        tensors = list(output) if isinstance(output, tuple | list) else [output]
        # A subclass could compute lazily, when it is copied: outside the time that was taken.
        got = [
            [list(t.shape), str(t.dtype).removeprefix("torch.")] if type(t) is torch.Tensor else type(t).__name__
            for t in (t.data if isinstance(t, torch.nn.Parameter) else t for t in tensors)
        ]
        want = [[list(t.shape), str(t.dtype).removeprefix("torch.")] for t in self._outputs]
        if got != want:
            return {"mismatch": str(got)}
        for place, tensor in zip(self._outputs, tensors, strict=True):
            place.copy_(tensor)
        return {"delivered": True}


class Slots:
    """All slots of a trial, by number."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._slots: list[Slot] = []

    def __getitem__(self, number: int) -> Slot:
        return self._slots[number]

    def attach(self, descriptions: Sequence[Mapping[str, Any]], descriptors: list[int]) -> None:
        """Map slots as the judge described them; descriptors come in the same order as the tensors."""
        remaining = iter(descriptors)
        for description in descriptions:
            self._slots.append(
                Slot(
                    [attach(part, remaining, self._device) for part in description["inputs"]],
                    [attach(part, remaining, self._device) for part in description["outputs"]],
                )
            )
