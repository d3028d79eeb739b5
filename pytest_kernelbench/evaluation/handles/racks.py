"""The memory that judge and worker share, by slot: one set of inputs, and the place for the answer to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from pytest_kernelbench.evaluation import trees
from pytest_kernelbench.evaluation.bench import Bench, Check, Drawn
from pytest_kernelbench.evaluation.correctness.doubt import Due
from pytest_kernelbench.evaluation.correctness.inputs import vary_rows
from pytest_kernelbench.evaluation.correctness.widened import bytes_of
from pytest_kernelbench.evaluation.device import device_named
from pytest_kernelbench.evaluation.device.shared import Memory, Place, create, describe_memory
from pytest_kernelbench.evaluation.device.traits import traits_of
from pytest_kernelbench.evaluation.layouts import ALIGNMENT, Layout, alike, no_answer

# The most calls in a turn by the judge's clock. With 64, turns of 0.05 ms calls were too short (3 ms) to decide a claim
# (H200).
MOST_PAIRS = 256
# The share of the device's memory that slots may hold while another judge has the device. A judge makes slots of up to
# 30 % of the free memory, so five judges on one GPU would leave a candidate none.
SHARE_KEPT_BESIDE_OTHERS = 0.1
# A turn is long enough with so many calls: if their slots may be kept beside others, it gets no more, so that others
# have the device between two series.
CALLS_ENOUGH = 12
# Of the device's memory, for slots and outputs that a turn may turn out to need.
SHARE_AHEAD = 0.01
# Of the free memory, for slots, outputs and answers while two workers take turns.
SHARE_FOR_TURNS = 0.8
# Inputs of at most so many elements are written together into at least so many slots: that moves more bytes, and takes
# less time in Python.
SMALL, MANY = 1 << 20, 8
# The flag of a candidate that writes to an input.
MUTATED = "mutated_input"


def may_be_kept(slot_bytes: int, device: str) -> bool:
    """Whether a judge may hold ``slot_bytes`` of slots while other judges use the device."""
    return slot_bytes < SHARE_KEPT_BESIDE_OTHERS * device_named(device).memory_bytes()


class Objection(NamedTuple):
    """An error in a slot after a call. ``flag``: given to a candidate that is wrong only in timed calls."""

    detail: str
    flag: str = "wrong_when_timed"


class Looked(NamedTuple):
    """What a correct candidate returns for the inputs of a check, and the error in an answer; None if it is right."""

    due: Due
    objection: Objection | None


class JudgeSlot:
    """The judge's side of a slot: memory that the worker sees too."""

    def __init__(self, number: int, bench: Bench, memory: Iterator[Place]) -> None:
        self.number = number
        self._bench = bench
        self.inputs = [next(memory) for _ in bench.reference.layouts]
        # Of small inputs, their elements in a row.
        self.rows = [_row(place.core) for place in self.inputs]
        self.outputs = [next(memory) for _ in bench.example_outputs]

    def describe(self) -> dict[str, Any]:
        return {
            "inputs": [place.describe() for place in self.inputs],
            "outputs": [place.describe() for place in self.outputs],
        }

    def places(self) -> list[Place]:
        return self.inputs + self.outputs

    def fill(self, values: Sequence[torch.Tensor]) -> None:
        """Put inputs in."""
        for place, value in zip(self.inputs, values, strict=True):
            place.core.copy_(value)

    def write(self, number: int, drawn: Drawn) -> None:
        """Put in one refreshed input."""
        place = self.inputs[number]
        if place.core.is_contiguous():
            drawn.write(number, place.core)
        else:
            place.core.copy_(drawn.write(number, torch.empty_like(drawn.original[number])))

    def poison(self) -> None:
        """Fill the outputs with values that no answer has."""
        for place in self.outputs:
            place.tensor.fill_(no_answer(place.tensor.dtype))

    def left(self) -> list[torch.Tensor]:
        """An answer as it is now: copies of the outputs, and of the inputs that the reference writes to."""
        return [*(place.tensor.clone() for place in self.outputs), *self.inputs_left()]

    def inputs_left(self) -> list[torch.Tensor]:
        """Copies of the inputs that the reference writes to."""
        return [self.inputs[number].core.clone() for number in self._bench.reference.written]

    def looked_at(self, check: Check, left: Sequence[torch.Tensor]) -> Looked:
        """The answer ``left`` by a call on the inputs of ``check``, compared with the reference's.

        A wrong answer is compared once more, within tolerances that are measured on these very inputs (``doubt``).
        """
        due = self._bench.answers_to(check)
        objection = self.objection(left, check.values, due)
        if objection is not None and objection.flag != MUTATED:
            due = self._bench.answers_in_doubt(check, left)
            objection = self.objection(left, check.values, due)
        return Looked(due, objection)

    def objection(self, left: Sequence[torch.Tensor], values: Sequence[torch.Tensor], answers: Due) -> Objection | None:
        """The first error in the answer ``left`` by a call on ``values``; None if there is none."""
        return self.changed(values, self.given()) or self.wrong(left, values, answers)

    def given(self) -> list[torch.Tensor]:
        """The slot's present inputs, except the inputs that the reference writes to."""
        return self._not_written([place.core for place in self.inputs])

    def _not_written(self, values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        written = self._bench.reference.written
        return [value for number, value in enumerate(values) if number not in written]

    def changed(self, values: Sequence[torch.Tensor], given: Sequence[torch.Tensor]) -> Objection | None:
        """An objection if a call on ``values`` wrote to an input that the reference does not write to.

        ``given``: what ``given()`` returns after the call.
        """
        if all(alike(one, value) for one, value in zip(given, self._not_written(values), strict=True)):
            return None
        return Objection("changes its inputs", MUTATED)

    def wrong(self, left: Sequence[torch.Tensor], values: Sequence[torch.Tensor], answers: Due) -> Objection | None:
        """The first difference between the answer ``left`` by a call on ``values`` and the reference's; None if equal.

        An input that the reference writes to may be left alone instead, unless nothing that the reference returns is
        that input: then it is a part of the answer.
        """
        n_outputs = len(self.outputs)
        for expected, output in zip(answers[:n_outputs], left[:n_outputs], strict=True):
            if (wrong := expected.objection(output)) is not None:
                return Objection(wrong)
        written = self._bench.reference.written
        for number, expected, output in zip(written, answers[n_outputs:], left[n_outputs:], strict=True):
            if number not in self._bench.reference.filled and alike(output, values[number]):
                continue
            if (wrong := expected.objection(output)) is not None:
                return Objection(f"what it leaves in its input {number}: {wrong}")
        return None


def _row(core: torch.Tensor) -> torch.Tensor | None:
    return core.view(-1) if core.numel() <= SMALL and core.is_contiguous() else None


def refresh(slots: Sequence[JudgeSlot], bench: Bench) -> dict[int, Drawn]:
    """Put new inputs of ``bench`` into the slots; returns them by slot number."""
    drawn = bench.refreshed(len(slots))
    for number in range(len(slots[0].inputs)):
        if not _written_together(number, slots, drawn):
            for slot, each in zip(slots, drawn, strict=True):
                slot.write(number, each)
    return {slot.number: each for slot, each in zip(slots, drawn, strict=True)}


def _written_together(number: int, slots: Sequence[JudgeSlot], drawn: Sequence[Drawn]) -> bool:
    """Whether input ``number`` was put into all slots at once: a small signal, and many slots."""
    values, keys = [each.original[number] for each in drawn], [each.keys[number] for each in drawn]
    rows = [row for slot in slots if (row := slot.rows[number]) is not None]
    signals = [key for key in keys if key is not None]
    factors = drawn[0].factors
    if len(slots) < MANY or not len(slots) == len(rows) == len(signals) or values[0].dtype != factors.dtype:
        return False
    return vary_rows(values, signals, factors, rows)


class Rack:
    """The slots of one task. All workers of a task map the same memory, because making it takes longest."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._slots: list[JudgeSlot] = []
        self._most: int | None = None

    def pairs_in_memory(self, wanted: int) -> int:
        """How many pairs of slots the rack can have with the memory that is free now; at most ``wanted``.

        Asked anew each time: beside other trials less memory is free than alone.
        """
        there = len(self._slots) // 2
        if self._most is not None:
            return min(wanted, self._most)
        if wanted <= there:
            return wanted
        return max(there, self._bench.pairs_in_memory(wanted, beside_bytes=self.n_bytes))

    def calls_in_memory(self, wanted: int) -> int:
        """How many slots a turn of ``wanted`` calls may have; at least one.

        Each of two workers keeps the outputs of its last turn; the judge copies two and compares one at a time. If the
        slots that may be kept beside others are ``CALLS_ENOUGH``, no more than these: with larger ones the trial would
        keep the device between its series.
        """
        kept_bytes = SHARE_KEPT_BESIDE_OTHERS * device_named(self._bench.device).memory_bytes()
        kept = int(kept_bytes / self._slot_bytes)
        fits = self.pairs_in_memory(wanted)
        if fits < wanted:
            fits = max(fits, min(wanted, self._calls_beside_their_outputs()))
        return min(fits, kept) if kept >= CALLS_ENOUGH else fits

    @property
    def calls_ahead(self) -> int:
        """How many calls a turn may have with slots that take little memory: they are made before it is known."""
        if not traits_of(self._bench.device).trials_beside_others:
            return 0
        little_bytes = SHARE_AHEAD * device_named(self._bench.device).memory_bytes()
        return min(MOST_PAIRS, int(little_bytes / (self._slot_bytes + bytes_of(self._bench.example_outputs))))

    def _calls_beside_their_outputs(self) -> int:
        if self._most is not None:
            return self._most
        bench = self._bench
        # What the judge copies takes as much as what both workers keep of one call. A task may have no output.
        slot_bytes, kept_bytes = bench.bytes_of_pair / 2, 2 * bytes_of(bench.example_outputs)
        room = SHARE_FOR_TURNS * device_named(bench.device).obtainable_bytes() - bench.bytes_to_answer - kept_bytes
        # The slots that are there take no more; if not all of them are used, the others free nothing.
        with_new = (room + len(self._slots) * slot_bytes) / (slot_bytes + kept_bytes + 1)
        return int(min(with_new, room / (kept_bytes + 1)))

    @property
    def _slot_bytes(self) -> float:
        tensors = len(self._bench.reference.layouts) + len(self._bench.example_outputs)
        return self._bench.bytes_of_pair / 2 + ALIGNMENT * tensors

    def make_room_for(self, pairs: int | None) -> None:
        """Free the memory; from now on there is room for ``pairs`` pairs. None: as many as fit when asked."""
        self.close()
        self._most = pairs

    def first(self, count: int) -> list[JudgeSlot]:
        """Slots 0 to ``count`` - 1; missing ones are made."""
        missing = range(len(self._slots), count)
        if missing:
            outputs = [Layout.contiguous(each.dtype, tuple(each.shape)) for each in self._bench.example_outputs]
            # All at once: on a GPU that is one allocation.
            memory = iter(create([*self._bench.reference.layouts, *outputs] * len(missing), self._bench.device))
            self._slots += [JudgeSlot(number, self._bench, memory) for number in missing]
        return self._slots[:count]

    @property
    def n_bytes(self) -> int:
        """Memory of all slots, in bytes."""
        return sum(memory.bytes.numel() for memory in self.memories(self._slots))

    @staticmethod
    def memories(slots: Sequence[JudgeSlot]) -> list[Memory]:
        """The allocations that contain these slots."""
        return list({place.memory.name: place.memory for slot in slots for place in slot.places()}.values())

    def describe(self, slots: Sequence[JudgeSlot], memories: Sequence[Memory]) -> dict[str, Any]:
        """The description from which a worker maps these slots, in ``memories`` that it has not mapped before."""
        return {
            "memories": [describe_memory(memory) for memory in memories],
            "arguments": trees.to_json(self._bench.reference.arguments),
            "result": trees.to_json(self._bench.reference.result),
            "traits": self._bench.reference.traits,
            "slots": [slot.describe() for slot in slots],
        }

    def close(self) -> None:
        """Free the memory."""
        while self._slots:
            for place in self._slots.pop().places():
                place.close()
