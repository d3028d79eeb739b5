"""The requests for turns that the judge's clock times: the calls, and what prepares and follows them."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import torch

from pytest_kernelbench.evaluation.bench import Bench
from pytest_kernelbench.evaluation.boundary import answers
from pytest_kernelbench.evaluation.boundary.messages import MalformedFrame
from pytest_kernelbench.evaluation.correctness.widened import bytes_of
from pytest_kernelbench.evaluation.device.foreign import Memory, NotThere, Place
from pytest_kernelbench.evaluation.handles.places import places_of
from pytest_kernelbench.evaluation.handles.racks import JudgeSlot
from pytest_kernelbench.evaluation.handles.worker_process import WorkerProcess
from pytest_kernelbench.evaluation.handles.worker_requests import REQUEST_TIMEOUT_S, WorkerRequests


class TurnRequests(WorkerRequests):
    """A worker that takes turns, and its memory as the judge has opened it. Raises what ``WorkerRequests`` does."""

    def __init__(self, worker: WorkerProcess, bench: Bench, *, watch: socket.socket) -> None:
        super().__init__(worker, bench, watch=watch)
        self._memory: Memory | None = None

    def _let_go(self) -> None:
        super()._let_go()
        if self._memory is not None:
            self._memory.close()

    def calls(self, slots: Sequence[JudgeSlot]) -> tuple[float, list[list[Place]]] | None:
        """Have a frozen worker call the candidate once on each slot; at its answer it is frozen again.

        Returns the seconds by this process's clock, and for each slot the places of the outputs. The clock stops when
        the worker is stopped, and on a GPU when its work there has ended. Returns None if a call returned memory of an
        earlier output: from now on the worker copies each output, and the caller repeats the request. Raises
        DeviceBusy.
        """
        self.room.worker_keeps(len(slots) * bytes_of(self.bench.example_outputs))
        answer, seconds = self.timed_and_frozen({"ask": "calls", "slots": [slot.number for slot in slots]})
        self._must_match(answer.mismatch)
        if answer.reused:
            return None
        return seconds, self._places(answer, len(slots))

    def _places(self, answer: answers.Kept, calls: int) -> list[list[Place]]:
        try:
            return places_of(answer, self.bench.example_outputs, calls)
        except MalformedFrame as error:
            raise self.forged(str(error)) from None

    def hold_outputs(self, calls: int) -> None:
        """Have the worker's torch take memory for the outputs of a turn at once, untimed, and in one allocation.

        Of 100 s in which eight judges had an H200 alone, they spent 7 on opening allocations, and turns in which memory
        was taken lasted 55 to 75 ms where later ones took 2.
        """
        sizes = [bytes_of([output]) for output in self.bench.example_outputs]
        self.ask({"ask": "hold", "sizes": sizes, "calls": calls}, doing="taking memory")

    def rehearse(self, slots: Sequence[JudgeSlot]) -> float:
        """Have the worker make the calls of a turn, untimed and on old inputs, and open the memory of its outputs.

        Returns the seconds until it has answered, without those in which it was stopped. A process's first turn was 1.6
        times as long as later ones (median of 124), up to 0.4 s (eight judges, H200).
        """
        self.room.worker_keeps(len(slots) * bytes_of(self.bench.example_outputs))
        request = {"ask": "rehearse", "slots": [slot.number for slot in slots]}
        answer, seconds = self.ask_by_the_clock(request, doing="warming up", timeout_s=REQUEST_TIMEOUT_S)
        self._must_match(answer.mismatch)
        if not answer.reused:
            self._open(self._places(answer, len(slots)))
        return seconds

    def _open(self, calls: Sequence[Sequence[Place]]) -> None:
        """Open each allocation that has an output, by reading one: later turns use the same memory again."""
        opened: set[str] = set()
        for places in calls:
            handles = {place.handle for place in places}
            if not handles <= opened:
                self.read(places)
                opened |= handles

    def take_memory_again(self, slots: Sequence[JudgeSlot]) -> None:
        """If a frozen worker gave its memory back since its last calls, have it called untimed, on old inputs."""
        if self.room.worker_is_cold:
            self.hold_outputs(len(slots))
            self.calls(slots)
            self.room.worker_is_cold = False

    def read(self, places: Sequence[Place]) -> list[torch.Tensor]:
        """Copies of the outputs of one call, read in the frozen worker's memory. Raises CannotRead."""
        if self._memory is None:
            self._memory = self._device.memory_of(self.worker.process)
        try:
            return [
                self._memory.tensor(each, like) for each, like in zip(places, self.bench.example_outputs, strict=True)
            ]
        except NotThere as missing:
            raise self.forged(f"an output where none is: {missing}") from None
