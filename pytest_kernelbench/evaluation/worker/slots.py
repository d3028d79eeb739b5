"""The worker's view of the judge's memory: arguments to read, outputs to fill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from pytest_kernelbench.evaluation import trees
from pytest_kernelbench.evaluation.device.shared import Memory, Place, attach_memory, attach_place
from pytest_kernelbench.evaluation.layouts import no_answer, span_of, traits_of

# Looked up now, before a candidate could replace them by functions that compute an answer when it is looked at.
_base = torch._C.TensorBase
_detach, _copy, _address = _base.detach, _base.copy_, _base.data_ptr
_is_conj, _is_neg = _base.is_conj, _base.is_neg


class Structures(NamedTuple):
    """The structures that all slots share: the trees of the arguments and of the result.

    ``traits``: for each tensor of the reference's result, how it differs from an ordinary tensor (``traits_of``).
    """

    arguments: trees.Tree
    result: trees.Tree
    traits: list[list[str]]


class Slot:
    """One set of inputs and the place for the outputs that belong to it.

    ``harness_memory``: first and last addresses of the memory that judge and worker share.
    """

    def __init__(
        self, structures: Structures, inputs: list[Place], outputs: list[Place], harness_memory: list[tuple[int, int]]
    ) -> None:
        self._structures = structures
        self._inputs = [place.tensor for place in inputs]
        self._outputs = [place.tensor for place in outputs]
        self._own = [span_of(tensor) for tensor in self._inputs]
        self._harness_memory = harness_memory
        tree = structures.arguments
        self._only_tensors = isinstance(tree, trees.Branch) and all(isinstance(c, trees.Tensor) for c in tree.children)

    @property
    def inputs(self) -> Any:
        """The arguments of a call, in new containers and tensors: the next call does not see changes to them."""
        if self._only_tensors:
            # The judge's clock is running: this takes 0.4 us for each tensor, and a tree 2 us.
            return [_detach(each) for each in self._inputs]
        return trees.put_together(self._structures.arguments, iter([_detach(each) for each in self._inputs]))

    def spoil(self) -> None:
        """Overwrite the memory that the allocator returns next, so that it holds no old answer for either side."""
        spoilt = [torch.full_like(tensor, no_answer(tensor.dtype)) for tensor in self._outputs]
        del spoilt

    def matched(self, output: Any) -> tuple[list[torch.Tensor], str | None]:
        """The tensors of an answer in the reference's order, and None; if the structure differs, [] and a text."""
        try:
            returned, tensors = trees.take_apart(output, result=True)
        except trees.Unjudgeable as error:
            return [], str(error)[:2000]
        order = trees.like(self._structures.result, returned)
        return ([], str(returned)[:2000]) if order is None else ([tensors[number] for number in order], None)

    @property
    def returns_one(self) -> bool:
        """Whether the reference returns one tensor and nothing around it."""
        return isinstance(self._structures.result, trees.Tensor)

    def stands_for_inputs(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is in the memory of an input, or its values are yet to be conjugated or negated.

        The clock is running: this takes 1 us, and all of ``traits`` 6 us.
        """
        address = _address(tensor)
        return any(first <= address <= last for first, last in self._own) or _is_conj(tensor) or _is_neg(tensor)

    def traits(self, tensor: torch.Tensor) -> list[str]:
        """How a tensor of an answer differs from an ordinary tensor: see ``traits_of``."""
        return traits_of(tensor, self._own, self._harness_memory)

    def deliver(self, output: Any) -> dict[str, Any]:
        """Copy an answer into the slot; returns its differences from the reference's structure.

        An answer of another structure is not copied. A tensor that is not ordinary, where the reference's is, is copied
        all the same, so that the judge can check its values first.
        """
        tensors, mismatch = self.matched(output)
        if mismatch is not None:
            return {"mismatch": mismatch}
        found = []
        for place, tensor, allowed in zip(self._outputs, tensors, self._structures.traits, strict=True):
            found += [trait for trait in self.traits(tensor) if trait not in allowed]
            _copy(place, tensor)
        if found:
            returned, _ = trees.take_apart(output, result=True)
            return {"delivered": True, "mismatch": f"{str(returned)[:1000]}, {found[0]}"}
        return {"delivered": True}


class Slots:
    """All slots of a trial, by number."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._memories: dict[str, Memory] = {}
        self._harness_memory: list[tuple[int, int]] = []
        self._slots: list[Slot] = []

    def __getitem__(self, number: int) -> Slot:
        return self._slots[number]

    def attach(self, question: Mapping[str, Any], descriptors: list[int]) -> None:
        """Map slots as the judge described them; descriptors come in the order of the memories that need one."""
        remaining = iter(descriptors)
        for description in question["memories"]:
            memory = attach_memory(description, remaining, self._device)
            self._memories[memory.name] = memory
            self._harness_memory.append(span_of(memory.bytes))
        structures = Structures(
            trees.from_json(question["arguments"]), trees.from_json(question["result"]), question["traits"]
        )
        for description in question["slots"]:
            inputs, outputs = (
                [attach_place(each, self._memories) for each in description[side]] for side in ("inputs", "outputs")
            )
            self._slots.append(Slot(structures, inputs, outputs, self._harness_memory))
