"""One candidate in one worker process: loads it, checks it on inputs, has it timed.

The judge draws the inputs and compares the outputs. Wherever the judge can check itself, no statement of the worker is
used.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from pytest_kernelbench.evaluation.bench import Bench, Drawn
from pytest_kernelbench.evaluation.boundary import answers
from pytest_kernelbench.evaluation.correctness.domain import KINDS, MIXED, TASK
from pytest_kernelbench.evaluation.correctness.doubt import Due, once_more
from pytest_kernelbench.evaluation.correctness.mixed import kind_at_fault
from pytest_kernelbench.evaluation.correctness.tolerances import REFRESHED
from pytest_kernelbench.evaluation.failures import CandidateFailed, WrongValues
from pytest_kernelbench.evaluation.handles.racks import JudgeSlot, Objection, Rack, refresh
from pytest_kernelbench.evaluation.handles.turn_requests import TurnRequests
from pytest_kernelbench.evaluation.handles.worker_process import WorkerProcess
from pytest_kernelbench.evaluation.handles.worker_requests import REQUEST_TIMEOUT_S, TIMING_TIMEOUT_S
from pytest_kernelbench.evaluation.sharing.giving_way import give_way
from pytest_kernelbench.evaluation.worker.stopwatch import Profile
from pytest_kernelbench.records import Outcome

READY_TIMEOUT_S = 60.0
# Enough to import torch's compiler, and for a candidate that starts nvcc itself; builds that the harness makes have a
# limit of their own.
LOAD_TIMEOUT_S = 60.0
# What makes a model may take so many times as long as this process took for the reference on top: beside five others, a
# candidate of 2**30 weights took 19 s (level2/55).
TIMES_AS_LONG = 8
REFRESHES = 3
BETWEEN_REFRESHES_S = 0.05
# A candidate that is wrong in a timed call is called so often again: sums with a race are sometimes right.
ASKED_AGAIN = 3
# Checks from this number on repeat one kind of ``mixed`` inputs alone; the examination uses lower numbers.
FIRST_ALONE = 100
# ``Evaluation.weights``.
SEEDED, REFERENCE = "seeded", "reference"


class Called(NamedTuple):
    """An untimed call: the worker's answer, copies of the memory right after it (``JudgeSlot.left``), and seconds."""

    answer: answers.Ran
    left: list[torch.Tensor]
    seconds: float


class WorkerSession(TurnRequests):
    """A worker with the slots of ``rack``, from its first request to its end. Raises what ``WorkerRequests`` does."""

    def __init__(self, worker: WorkerProcess, bench: Bench, rack: Rack, *, cache: Path, watch: socket.socket) -> None:
        super().__init__(worker, bench, watch=watch)
        self.rack = rack
        self._attached = 0
        self._mapped: set[str] = set()
        self._ready = False
        self.was_profiled = False
        request = {
            "ask": "prepare",
            "task_source": bench.source,
            "seed": bench.seed,
            "precision": bench.precision,
            "cache": str(cache),
            "architecture": self._device.architecture(),
        }
        self.send(request)

    @property
    def slots(self) -> Sequence[JudgeSlot]:
        """The slots that the worker has mapped."""
        return self.rack.first(self._attached)

    @property
    def _to_make_s(self) -> float:
        """Seconds that a large model may take on top of a limit."""
        return TIMES_AS_LONG * self.bench.reference.seconds_to_make

    def wait_until_ready(self) -> None:
        """Wait until the worker has loaded the reference. Raises HarnessError where it cannot."""
        if self._ready:
            return
        timeout_s = READY_TIMEOUT_S + self._to_make_s
        self.answer("prepare", timeout_s=timeout_s, doing="starting", on_error=Outcome.RUNTIME_ERROR)
        self._ready = True

    def load(self, source: str, *, weights: str = SEEDED) -> None:
        """Load the candidate, with the weights of its own constructor or (``REFERENCE``) with the reference's."""
        self.wait_until_ready()
        give_way()
        self.loaded = True
        request = {"ask": "load", "candidate_source": source, "weights": weights}
        timeout_s = LOAD_TIMEOUT_S + self._to_make_s
        self.ask(request, timeout_s=timeout_s, doing="loading", on_error=Outcome.BUILD_ERROR)

    def adopt_weights(self) -> bool:
        """Replace the candidate by a new instance that has the reference's weights.

        Returns False, and replaces nothing, unless both states have the same names and shapes and different values.
        """
        answer = self.ask({"ask": "adopt_weights"}, timeout_s=LOAD_TIMEOUT_S + self._to_make_s, doing="loading")
        return bool(answer.adopted)

    def have_slots(self, count: int) -> list[JudgeSlot]:
        """``count`` slots that both sides have mapped; missing ones are made."""
        slots = self.rack.first(count)
        made = slots[self._attached :]
        if not made:
            return slots
        self.room.look_anew()
        new = [memory for memory in self.rack.memories(made) if memory.name not in self._mapped]
        request = {"ask": "attach", **self.rack.describe(made, new)}
        descriptors = [memory.descriptor for memory in new if memory.descriptor is not None]
        self.ask(request, descriptors, doing="attaching")
        self._mapped.update(memory.name for memory in new)
        self._attached = count
        return slots

    def move_parameters(self, away: bool) -> bool:
        """Move the candidate's parameters and buffers away from their initial values, or back.

        Returns False, and moves nothing, if its state has other names or shapes than the reference's.
        """
        request = {"ask": "move_parameters", "away": away}
        answer = self.ask(request, timeout_s=LOAD_TIMEOUT_S + self._to_make_s, doing="taking other parameters")
        return bool(answer.moved)

    def check(self, slot: JudgeSlot, number: int, kind: str) -> float:
        """Check ``number``: one untimed call on inputs of ``kind``, whose answer is compared. Returns its seconds."""
        try:
            return self._checked(slot, number, kind)
        except CandidateFailed as failure:
            failure.draw = failure.draw or kind
            raise

    def _checked(self, slot: JudgeSlot, number: int, kind: str) -> float:
        check = self.bench.check(number, kind)
        answer, left, seconds = self.called(slot, check.values, f"running on {kind} inputs")
        self.make_room_for_judge()
        due, objection = slot.looked_at(check, left)
        part = kind_at_fault(left, due) if kind == MIXED else None
        if part is not None and objection is None:
            # Only this part is wrong, by its own tolerance: called again with all inputs of that kind.
            self.check(slot, FIRST_ALONE + [TASK, *KINDS].index(part.kind), part.kind)
        elif part is not None:
            raise WrongValues.incorrect(f"{part.kind} inputs (a part of mixed ones): {part.objection}", part.kind)
        if objection is not None:
            raise WrongValues(Outcome.INCORRECT, f"{kind} inputs: {objection.detail}")
        self._must_match(answer.mismatch)
        return seconds

    def called(self, slot: JudgeSlot, values: Sequence[torch.Tensor], doing: str) -> Called:
        """Have the candidate called once on ``values``, untimed; ``doing`` names the call in errors.

        Raises CandidateFailed where its result has another structure than the reference's.
        """
        give_way()
        slot.fill(values)
        slot.poison()
        self._device.settle()
        answer, seconds = self.ask_by_the_clock(
            {"ask": "run", "slot": slot.number}, doing=doing, timeout_s=REQUEST_TIMEOUT_S
        )
        # Copied at once: values that are written after the worker's answer do not count.
        left = slot.left()
        if not answer.delivered:
            self._must_match(answer.mismatch)
        self.room.worker_had(answer.peak_bytes)
        return Called(answer, left, seconds)

    def refresh(self, slots: Sequence[JudgeSlot]) -> dict[int, Drawn]:
        """Write new inputs into each slot; returns them by slot number."""
        if self.room.worker_is_cold:
            # The worker's next call allocates memory anew, so it is not timed, and has old inputs: it must not see new
            # ones before the clock runs.
            self.warm(slots[0], slots[-1], times=1)
        for attempt in range(1, REFRESHES + 1):
            try:
                # The worker could read inputs while they are written, and work before the clock starts.
                with self.idle():
                    drawn = refresh(slots, self.bench)
                    self._device.settle()
                return drawn
            except CandidateFailed:
                if attempt == REFRESHES:
                    raise
                # The work may be honest, such as freeing memory; other inputs make any work on these useless.
                time.sleep(BETWEEN_REFRESHES_S)
        raise AssertionError("unreachable")

    def make_room_for_judge(self) -> None:
        """Have the worker free unused memory if the judge would lack it to compute an answer."""
        self.room.for_judge(self.leave_room)

    def check_timed(self, slots: Sequence[JudgeSlot], drawn: Mapping[int, Drawn]) -> None:
        """Compare outputs of timed calls in ``slots`` with the answers. Raises CandidateFailed if one is wrong."""
        # Copied at once: values that are written after the clock has stopped do not count.
        left = [slot.left() for slot in slots]
        self.make_room_for_judge()
        for slot, found in zip(slots, left, strict=True):
            self.check_left(slot, found, self.check_inputs(slot, drawn[slot.number], slot.given()))

    def check_inputs(self, slot: JudgeSlot, drawn: Drawn, given: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The inputs that were ``drawn`` for a timed call.

        Raises CandidateFailed if those that the slot had after it (``given``) differ.
        """
        values = drawn.values()
        changed = slot.changed(values, given)
        if changed is not None:
            raise self._asked_again(slot, values, self.bench.answers(values), changed)
        return values

    def check_left(self, slot: JudgeSlot, left: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
        """Compare what a timed call on inputs of these ``values`` left; ``slot`` may have other inputs now.

        Raises CandidateFailed if it is wrong.
        """
        # Where a model draws at random in each call, the answers of timed calls are not known.
        if self.bench.reference.is_random:
            return
        answers = self.bench.answers(values)
        objection = slot.wrong(left, values, answers)
        if objection is not None:
            answers = once_more(self.bench.reference, REFRESHED, values, left, answers)
            objection = slot.wrong(left, values, answers)
        if objection is not None:
            raise self._asked_again(slot, values, answers, objection)

    def _asked_again(
        self,
        slot: JudgeSlot,
        values: Sequence[torch.Tensor],
        answers: Due,
        timed: Objection,
    ) -> CandidateFailed:
        """The failure of a candidate that was wrong in a timed call: incorrect, or void because it cheats.

        It is called again, untimed, on the same inputs in the same memory. If it is wrong there too, it is incorrect:
        it does not write all elements, reads an old address, is not precise enough for these values, or has a race. If
        it is right each time, it treats timed calls differently.
        """
        for _ in range(ASKED_AGAIN):
            left = self.called(slot, values, "running again on the inputs of a timed call").left
            untimed = slot.objection(left, values, answers)
            if untimed is not None:
                detail = f"a timed call, and untimed on the same inputs: {untimed.detail}"
                return WrongValues(Outcome.INCORRECT, detail)
        return CandidateFailed(Outcome.VOID, f"a timed call, but no untimed one: {timed.detail}", (timed.flag,))

    def warm(self, reference: JudgeSlot, candidate: JudgeSlot, *, times: int) -> None:
        """Have the reference called on one slot and the candidate on the other, ``times`` times each, untimed."""
        request = {
            "ask": "warm",
            "reference_slot": reference.number,
            "candidate_slot": candidate.number,
            "times": times,
        }
        answer = self.ask(request, doing="warming up")
        self.room.worker_had(answer.peak_bytes)
        self.room.worker_is_cold = False

    def pairs(self, pairs: Sequence[tuple[JudgeSlot, JudgeSlot, bool]]) -> dict[str, list[float]]:
        """Milliseconds of both sides, by the worker, for each ``(reference slot, candidate slot, candidate first)``."""
        numbers = [(reference.number, candidate.number, first) for reference, candidate, first in pairs]
        request = {"ask": "pairs", "pairs": numbers}
        answer, seconds = self.ask_by_the_clock(request, doing="being timed", timeout_s=TIMING_TIMEOUT_S)
        self._must_match(answer.mismatch)
        sides = ("reference_ms", "candidate_ms")
        block = {side: self.exactly(getattr(answer, side), len(pairs), side) for side in sides}
        if sum(map(sum, block.values())) > seconds * 1e3:
            raise self.forged(f"durations that add up to more than the {seconds * 1e3:.4g} ms that passed")
        return block

    def series(self, slots: Sequence[JudgeSlot], side: str) -> list[float]:
        """Milliseconds of one side alone, one call for each slot."""
        request = {"ask": "series", "slots": [slot.number for slot in slots], "side": side}
        answer = self.ask(request, doing="being timed", timeout_s=TIMING_TIMEOUT_S)
        return self.exactly(answer.ms, len(slots), "ms")

    def profile(self, slot: JudgeSlot) -> Profile:
        """Torch's profile of one call, by the worker.

        The profiler stays attached to the process, and a launch takes about 5 us longer from then on (H200).
        """
        self.was_profiled = True
        answer = self.ask({"ask": "profile", "slot": slot.number}, doing="being profiled", timeout_s=TIMING_TIMEOUT_S)
        self._must_match(answer.mismatch)
        busy_ms = answer.busy_ms[0] if answer.busy_ms else None
        return Profile(busy_ms, list(answer.operators), list(answer.kernels))
